// What a run comes down to: results, curves, time, settings.
const MEANINGS = {
  better: 'better: the interval lies above 0', worse: 'worse: the interval lies below 0', unclear: 'no clear difference: the interval holds 0',
};

function bar(range, kind = '') {
  if (!range) return null;
  return svg('svg', { class: `bar ${kind}`, viewBox: '0 0 100 12', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('rect', { class: 'track', x: 0, y: 5.5, width: 100, height: 1 }),
    range.zero === null ? null : svg('rect', { class: 'zero', x: range.zero - 0.25, y: 0, width: 0.5, height: 12 }),
    svg('rect', { class: 'range', x: range.low, y: 3.5, width: Math.max(range.high - range.low, 0.4), height: 5 }),
    svg('rect', { class: 'point', x: Math.max(range.value - 0.6, 0), y: 0.5, width: 1.2, height: 11 }));
}

const heads = (...cells) => h('thead', {}, h('tr', {}, cells.map(([name, style]) => h('th', { scope: 'col', class: style }, name))));
const ends = (left, right) => [h('span', {}, left), h('span', {}, right)];

function resultTable(table) {
  return h('table', { class: 'results' },
    h('caption', {}, h('b', {}, table.metric), ` in ${table.env_id}: mean over episodes, with its 95% interval`),
    heads(['policy'], [ends(table.left, table.right), 'scale'], ['mean', 'n'], ['95% interval', 'n'], ['episodes', 'n']),
    h('tbody', {}, table.rows.map((row) => {
      const ours = ['before', 'after'].includes(row.policy);
      return h('tr', { class: ours ? 'ours' : 'theirs' },
        h('th', { scope: 'row' }, row.policy, row.decoding ? `, ${row.decoding}` : '', row.meaning ? h('small', {}, row.meaning) : null),
        h('td', { class: 'bars' }, bar(row.bar)), h('td', { class: 'n' }, h('b', {}, row.mean)),
        h('td', { class: 'n interval' }, row.interval), h('td', { class: 'n episodes' }, row.episodes));
    })));
}

function differenceTable(rows) {
  return h('table', { class: 'results' },
    h('caption', {}, h('b', {}, 'After \u2212 before'), ', task by task on the same tasks'),
    heads(['decoding'], [ends('worse', 'better'), 'scale'], ['difference', 'n'], ['95% interval', 'n'], ['says']),
    h('tbody', {}, rows.map((row) => h('tr', { class: 'ours' }, h('th', { scope: 'row' }, row.decoding),
      h('td', { class: 'bars' }, bar(row.bar)), h('td', { class: 'n' }, h('b', {}, row.change)),
      h('td', { class: 'n interval' }, row.interval), h('td', { class: 'says' }, MEANINGS[row.verdict])))));
}

function phaseTable(phases, seconds) {
  return h('table', { class: 'results phases' }, h('caption', {}, h('b', {}, 'Time'), seconds ? `: ${seconds} in all` : ''),
    heads(['phase'], ['', 'scale'], ['time', 'n']),
    h('tbody', {}, phases.map((phase) => h('tr', {}, h('th', { scope: 'row' }, phase.name),
      h('td', { class: 'bars' }, svg('svg', { class: 'bar', viewBox: '0 0 100 12', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
        svg('rect', { class: 'time', x: 0, y: 3, width: phase.share, height: 6 }))), h('td', { class: 'n' }, phase.seconds)))));
}

function headline(folder) {
  const told = folder.headline;
  if (!told) return null;
  const rest = { better: '.', worse: ': it became worse.', unclear: '. The difference is within chance.' }[told.verdict];
  return h('p', { class: 'headline' }, h('b', {}, told.before), h('span', { class: 'arrow', 'aria-label': 'to', role: 'img' }, '\u2192'), h('b', {}, told.after),
    h('span', { class: 'what' }, `${told.metric} on the test tasks (${told.decoding}), before and after reinforcement learning${rest}`));
}

function definitions(pairs) {
  return h('dl', { class: 'facts' }, pairs.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

function filesOf(at) {
  const files = index.files.filter((file) => file.folder === at && file.listed);
  if (!files.length) return null;
  return h('section', { 'aria-labelledby': 'recorded' }, h('h2', { id: 'recorded' }, 'Recorded trajectories'),
    h('ul', { class: 'files' }, files.map((file) => h('li', {}, h('a', { href: linkTo({ ...DEFAULTS, view: 'trajectories', file: file.id }) }, file.label), ' ',
      h('span', { class: 'soft' }, file.listed.toLocaleString('en'))))));
}

function overviewView(state) {
  const at = Math.min(index.folders.length - 1, Math.max(0, Math.floor(Number(state.run)) || 0));
  const folder = index.folders[at];
  const notes = [...folder.notes, ...index.notes];
  const which = index.folders.length > 1 ? h('nav', { class: 'runs', 'aria-label': 'Folders' }, index.folders.map((each, i) =>
    h('a', { href: linkTo({ run: String(i) }), 'aria-current': i === at ? 'true' : null }, each.title))) : null;
  const tables = [...folder.tables.map(resultTable), folder.differences.length ? differenceTable(folder.differences) : null,
    folder.phases.length ? phaseTable(folder.phases, folder.seconds) : null].filter(Boolean);
  return [
    which,
    h('p', { class: 'kind' }, folder.kind === 'run' ? 'Training run' : 'Evaluation'),
    h('h1', { tabindex: '-1' }, folder.title),
    headline(folder),
    definitions(folder.facts),
    notes.length ? h('ul', { class: 'notes' }, notes.map((note) => h('li', {}, note))) : null,
    h('section', { 'aria-labelledby': 'results' }, h('h2', { id: 'results' }, 'Results'),
      folder.finished ? null : h('p', { class: 'empty' }, folder.kind === 'run' ? 'This run is not finished: its results are not there yet.' : 'The results are not there yet.'),
      folder.finished && !folder.tables.length ? h('p', { class: 'empty' }, 'No policy was tested.') : null,
      tables.map((table) => h('div', { class: 'sheet', tabindex: '0', role: 'region', 'aria-label': table.caption.textContent }, table))),
    curves(folder),
    filesOf(at),
    h('section', { 'aria-labelledby': 'settings' }, h('h2', { id: 'settings' }, 'Settings'),
      folder.versions.length ? definitions(folder.versions) : null,
      folder.config ? h('details', {}, h('summary', {}, 'The whole configuration'), h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Configuration' }, folder.config))
        : h('p', { class: 'soft' }, 'No configuration was recorded.')),
  ];
}
