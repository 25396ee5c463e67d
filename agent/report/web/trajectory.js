// One trajectory in full, and its siblings side by side.
const SIDE_BY_SIDE = 24;

function nameOf(entry) {
  const run = index.folders.length > 1 ? `${index.folders[entry.folder].title}, ` : '';
  return `${run}${entry.where} #${entry.line}`;
}

function outcomeOf(entry, full, brief = false) {
  return h('p', { class: 'outcome' },
    h('span', { class: 'score' }, entry.score === null ? 'no score' : ['score ', h('b', {}, figure(entry.score))]),
    entry.advantage === null || (full && full.untrained) ? null : h('span', { class: `advantage ${entry.advantage > 0 ? 'up' : entry.advantage < 0 ? 'down' : ''}` },
      h('span', { 'aria-hidden': 'true' }, entry.advantage > 0 ? '\u25b2 ' : entry.advantage < 0 ? '\u25bc ' : ''), 'advantage ', h('b', {}, signed(entry.advantage))),
    endMark(entry.end), brief ? null : [entry.stop ? h('span', { class: 'soft' }, `last turn: ${entry.stop}`) : null,
    h('span', { class: 'soft' }, `${count(entry.turns, 'turn')}${entry.tokens ? `, ${count(entry.tokens, 'action token')}` : ''}`)]);
}

function factsOf(entry, full) {
  const about = [['environment', entry.env], ['task', entry.task], ['seed', entry.seed], ['policy', entry.policy],
    ['file', `${index.files[entry.file].shown}, line ${entry.line}`]].filter(([, value]) => value !== '');
  const parts = [['Reward terms', full ? full.facts.rewards : []], ['Metrics', full ? full.facts.metrics : []],
    ['Tags', full ? full.facts.tags : []], ['Where', about]];
  return h('aside', { class: 'about', 'aria-label': 'About this trajectory' }, parts.filter(([, facts]) => facts.length).map(([title, facts]) => [
    h('h3', {}, title), h('dl', {}, facts.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))),
  ]));
}

// What to show of the tokens: the choice, its legend, and the line that says what is known of the token in question.
function toolbar(state, offered, show) {
  const choose = offered.map((name) => h('label', {},
    h('input', { type: 'radio', name: 'show', value: name, checked: name === show, on: { change: () => go({ show: name }, true) } }),
    h('span', {}, COLOURINGS[name].name)));
  const numbers = h('label', { class: 'switch' }, h('input', {
    type: 'checkbox', 'data-numbers': true, checked: state.numbers === '1', on: { change: (event) => go({ numbers: event.target.checked ? '1' : '' }, true) },
  }), ' numbers');
  return h('div', { class: 'toolbar' },
    h('fieldset', { class: 'segmented' }, h('legend', {}, 'Show'), choose),
    show === 'reading' || show === 'mask' ? null : numbers, legendOf(show),
    show === 'reading' ? null : h('p', { class: 'inspector', role: 'status' }, 'Point at a token to see what is known of it.'));
}

function showOf(state, offered) {
  return offered.includes(state.show) ? state.show : offered.includes('logprob') && state.show === '' ? 'logprob' : 'reading';
}

function inspect(event) {
  const token = event.target.closest && event.target.closest('.t');
  const line = document.querySelector('.inspector');
  if (line && token && told.has(token)) line.textContent = tokenSaid(told.get(token));
}

const LEFT_OUT = 'Its tokens were left out to keep this page small; the file has them.';

async function trajectoryView(state) {
  const entry = byId.get(state.id);
  if (!entry) return [h('h2', { tabindex: '-1' }, 'Trajectory'), h('p', { class: 'empty' }, 'This page has no such trajectory.')];
  const full = await whole(entry);
  const list = chosen(state);
  const at = list.indexOf(entry);
  const siblings = groups.get(entry.group);
  const step = (to, text, label) => (list[to] ? h('a', { class: 'button', href: linkTo({ id: list[to].id }), 'aria-label': label }, text)
    : h('span', { class: 'button off', 'aria-hidden': 'true' }, text));
  const head = [
    h('nav', { class: 'steps', 'aria-label': 'Trajectories' },
      h('a', { class: 'button', href: linkTo({ view: 'trajectories', id: '' }) }, '\u2190 All'),
      step(at - 1, '\u2039', 'Previous trajectory'), step(at + 1, '\u203a', 'Next trajectory'),
      at >= 0 ? h('span', { class: 'soft' }, `${(at + 1).toLocaleString('en')} of ${list.length.toLocaleString('en')}`) : null,
      siblings.length > 1 ? h('a', { class: 'button', href: linkTo({ view: 'group' }), 'data-siblings': true },
        `${index.files[entry.file].kind === 'rollout' ? 'Siblings' : 'The same task'}, side by side (${siblings.length})`) : null),
    h('h2', { tabindex: '-1' }, nameOf(entry)),
    outcomeOf(entry, full),
    full && full.reason ? h('p', { class: 'reason' }, full.reason) : null,
  ];
  if (!full) return [...head, h('p', { class: 'empty' }, LEFT_OUT), factsOf(entry, null)];
  const offered = colourings([full]);
  const show = showOf(state, offered);
  return [
    ...head,
    full.text_only ? h('p', { class: 'note' }, 'no tokens: text of a chat server or baseline') : toolbar(state, offered, show),
    full.untrained && show !== 'reading' ? h('p', { class: 'soft' }, `Nothing of this is trained: ${full.untrained}.`) : null,
    h('div', { class: 'columns' },
      h('div', { class: 'segments', on: { mouseover: inspect, click: inspect } },
        full.segments.map((part, i) => segmentElement(full, part, full.segments[i - 1], show, state.numbers === '1')),
        full.segments.length ? null : h('p', { class: 'empty' }, 'No segment was recorded.'),
        full.left_out ? h('p', { class: 'note' }, `${count(full.left_out, 'later segment')} in the record and not in this page.`) : null),
      factsOf(entry, full)),
  ];
}

// Siblings that differ only in what the policy wrote are read side by side; what they share is said once.
async function groupView(state) {
  const entry = byId.get(state.id);
  if (!entry) return [h('h2', { tabindex: '-1' }, 'Siblings'), h('p', { class: 'empty' }, 'This page has no such trajectory.')];
  const all = groups.get(entry.group);
  const shown = all.slice(0, SIDE_BY_SIDE);
  const wholes = await Promise.all(shown.map(whole));
  const there = wholes.filter(Boolean);
  const offered = colourings(there);
  const show = showOf(state, offered);
  const numbered = state.numbers === '1';
  const first = there.map((full) => full.segments[0]);
  const same = there.length > 1 && first.every((part) => part && textOf(part) === textOf(first[0]) && part.new.length === first[0].new.length
    && JSON.stringify(part.ids) === JSON.stringify(first[0].ids));
  const scores = all.map((each) => each.score).filter((score) => score !== null);
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  return [
    h('nav', { class: 'steps', 'aria-label': 'Trajectories' },
      h('a', { class: 'button', href: linkTo({ view: 'trajectories', id: '' }) }, '\u2190 All'),
      h('a', { class: 'button', href: linkTo({ view: 'trajectory' }) }, nameOf(entry))),
    h('h2', { tabindex: '-1' }, `${index.files[entry.file].kind === 'rollout' ? `${entry.where}, ` : ''}${entry.task === '' ? `seed ${entry.seed}` : `task ${entry.task}`}`),
    h('p', { class: 'outcome' }, h('span', {}, count(all.length, 'episode'), ' of one task and seed'), scores.length ? h('span', {}, 'mean score ', h('b', {}, figure(mean, 3))) : null,
      all.length > shown.length ? h('span', { class: 'soft' }, `the first ${shown.length} are shown`) : null),
    offered.length > 1 ? toolbar(state, offered, show) : null,
    h('div', { class: 'segments', on: { mouseover: inspect, click: inspect } },
      same ? h('div', { class: 'shared' }, segmentElement(there[0], first[0], null, show, numbered)) : null,
      h('div', { class: 'siblings' }, shown.map((each, i) => siblingCard(each, wholes[i], each === entry, same, show, numbered)))),
  ];
}

function siblingCard(entry, full, current, same, show, numbered) {
  return h('article', { class: `sibling${current ? ' current' : ''}`, 'data-sibling': entry.id },
    h('header', {}, h('h3', {}, h('a', { href: linkTo({ view: 'trajectory', id: entry.id }) }, nameOf(entry))),
      entry.policy ? h('p', { class: 'soft' }, entry.policy) : null, outcomeOf(entry, full, true)),
    full ? full.segments.slice(same ? 1 : 0).map((part, i, parts) => segmentElement(full, part, parts[i - 1], show, numbered)) : h('p', { class: 'empty' }, LEFT_OUT),
    full && full.text_only ? h('p', { class: 'note' }, 'no tokens: text of a chat server or baseline') : null,
    full && full.facts.rewards.length ? h('dl', {}, full.facts.rewards.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))) : null);
}
