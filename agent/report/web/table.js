// All recorded trajectories: filters, a table that sorts, pages of a hundred.
const PER_PAGE = 100;
let marked = null; // the id of the row that the keyboard is at

function field(label, control) {
  return h('label', { class: 'field' }, h('span', {}, label), control);
}

function choice(state, key, label, options) {
  if (options.length < 2 && state[key] === '') return null;
  const select = h('select', { on: { change: (event) => go({ [key]: event.target.value, page: '1' }, true) }, 'data-filter': key },
    h('option', { value: '' }, 'all'), options.map(([value, text]) => h('option', { value }, text)));
  select.value = state[key];
  return field(label, select);
}

function typed(state, key, label, attributes) {
  const input = h('input', {
    type: 'text', 'data-filter': key, autocomplete: 'off', spellcheck: 'false', ...attributes,
    on: { input: (event) => go({ [key]: event.target.value, page: '1' }, true) },
  });
  input.value = state[key];
  return field(label, input);
}

function filterBar(state) {
  const files = index.files.filter((file) => file.listed)
    .map((file) => [file.id, index.folders.length > 1 ? `${index.folders[file.folder].title}: ${file.label}` : file.label]);
  const named = (key) => valuesOf(key).sort().map((value) => [value, value]);
  return h('div', { class: 'filters', role: 'search', 'aria-label': 'Filter trajectories' },
    typed(state, 'q', 'Text', { class: 'wide', placeholder: 'what the policy wrote' }),
    choice(state, 'file', 'Step or evaluation', files),
    choice(state, 'env', 'Environment', named('env')),
    choice(state, 'policy', 'Policy', named('policy')),
    typed(state, 'task', 'Task', { inputmode: 'numeric', size: 8 }),
    choice(state, 'end', 'Outcome', ENDS.concat(valuesOf('end').filter((end) => !ENDS.includes(end))).map((end) => [end, end])),
    choice(state, 'stop', 'Stop', named('stop')),
    field('Score', h('span', { class: 'range' },
      typed(state, 'min', 'at least', { inputmode: 'decimal', size: 4, placeholder: 'min', 'aria-label': 'Score, at least' }).lastChild,
      '\u2013',
      typed(state, 'max', 'at most', { inputmode: 'decimal', size: 4, placeholder: 'max', 'aria-label': 'Score, at most' }).lastChild)),
    h('button', { type: 'button', class: 'quiet', 'data-clear': true, on: { click: () => {
      go(Object.fromEntries([...FILTERS, 'page'].map((name) => [name, DEFAULTS[name]])), true);
      showFilters();
    } } }, 'Clear'));
}

function endMark(end) {
  const sign = { terminated: '\u25cf', truncated: '\u25b2', failed: '\u2715' }[end] || '\u25cb';
  return h('span', { class: `end ${ENDS.includes(end) ? end : ''}` }, h('span', { 'aria-hidden': 'true' }, sign), ' ', end);
}

function headerCell(column, state) {
  const up = state.sort === column.key;
  const down = state.sort === `-${column.key}`;
  // Numbers begin with the largest, texts with A, the order of recording is the one that is there without sorting.
  const next = column.number ? (down ? column.key : up ? '' : `-${column.key}`) : up ? `-${column.key}` : down ? '' : column.key;
  return h('th', { scope: 'col', class: column.number ? 'n' : null, 'aria-sort': up ? 'ascending' : down ? 'descending' : null },
    h('button', { type: 'button', 'data-sort': column.key, on: { click: () => {
      go({ sort: next, page: '1' }, true);
      document.querySelector(`[data-sort="${column.key}"]`).focus();
    } } }, column.name, h('span', { class: 'arrow', 'aria-hidden': 'true' }, up ? '\u2191' : down ? '\u2193' : '')));
}

function cell(column, entry) {
  const classes = `c-${column.key}${column.number ? ' n' : ''}`;
  if (column.key === 'place') {
    const run = index.folders.length > 1 ? `${index.folders[entry.folder].title} ` : '';
    return h('th', { scope: 'row', class: classes },
      h('a', { href: linkTo({ view: 'trajectory', id: entry.id }), 'data-id': entry.id }, `${run}${entry.where} #${entry.line}`));
  }
  if (column.key === 'end') return h('td', { class: classes }, endMark(entry.end));
  if (column.key === 'advantage') {
    return h('td', { class: classes }, entry.advantage === null ? '' : signed(entry.advantage));
  }
  if (column.key === 'score') return h('td', { class: classes }, entry.score === null ? h('span', { class: 'soft' }, 'none') : figure(entry.score));
  return h('td', { class: classes }, typeof entry[column.key] === 'number' ? figure(entry[column.key]) : entry[column.key]);
}

function tableView(state) {
  const found = chosen(state);
  const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
  const page = Math.min(pages, Math.max(1, Math.floor(Number(state.page)) || 1));
  const rows = found.slice((page - 1) * PER_PAGE, page * PER_PAGE);
  const columns = COLUMNS.filter((column) => !column.several || valuesOf(column.several).length > (column.number ? 0 : 1));
  const turn = (to, text, name) => h('button', { type: 'button', class: 'quiet', disabled: to < 1 || to > pages, 'data-turn': name,
    on: { click: () => { go({ page: String(to) }, true); scrollTo(0, 0); } } }, text);
  return [
    h('p', { class: 'counted', role: 'status' }, found.length === entries.length ? count(found.length, 'trajectory', 'trajectories')
      : `${found.length.toLocaleString('en')} of ${count(entries.length, 'trajectory', 'trajectories')}`),
    h('div', { class: 'sheet', tabindex: '0', role: 'region', 'aria-label': 'Trajectories' },
      h('table', { class: 'list' },
        h('thead', {}, h('tr', {}, columns.map((column) => headerCell(column, state)), h('th', { scope: 'col' }, 'Text'))),
        h('tbody', { on: { click: openRow } }, rows.map((entry) => h('tr', { 'data-row': entry.id },
          columns.map((column) => cell(column, entry)),
          h('td', { class: 'text' }, entry.text || h('span', { class: 'soft' }, entry.reason))))))),
    found.length ? null : h('p', { class: 'empty' }, entries.length ? 'No trajectory matches these filters.' : 'No trajectory was recorded.'),
    pages > 1 ? h('nav', { class: 'pager', 'aria-label': 'Pages' }, turn(page - 1, '\u2190 Previous', 'back'),
      h('span', {}, `page ${page} of ${pages}`), turn(page + 1, 'Next \u2192', 'on')) : null,
  ];
}

function openRow(event) {
  const row = event.target.closest('[data-row]');
  if (row && !event.target.closest('a') && String(getSelection()) === '') go({ view: 'trajectory', id: row.dataset.row });
}

function mark(step) {
  const links = [...document.querySelectorAll('[data-id]')];
  if (!links.length) return;
  const at = links.findIndex((link) => link.dataset.id === marked);
  const next = at + step;
  if (at >= 0 && (next < 0 || next >= links.length)) {
    const turn = document.querySelector(`[data-turn="${step > 0 ? 'on' : 'back'}"]`);
    if (!turn || turn.disabled) return;
    turn.click();
    const turned = [...document.querySelectorAll('[data-id]')];
    markLink(step > 0 ? turned[0] : turned[turned.length - 1]);
    return;
  }
  markLink(links[at < 0 ? 0 : next]);
}

function markLink(link) {
  marked = link.dataset.id;
  link.focus();
  link.closest('tr').scrollIntoView({ block: 'nearest' });
}
