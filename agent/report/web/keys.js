// The keyboard: what each key does where the reader is. Keys with a modifier, and those typed into a field, are not ours.
const help = document.getElementById('help');

function typing(target) {
  return target.matches('input:not([type=radio]):not([type=checkbox]), select, textarea');
}

// What follows asks the address where the reader is and not the links that are drawn: a trajectory takes a while to be
// unpacked, and the next key may come before.
function walk(step) {
  const state = readState();
  const entry = byId.get(state.id);
  if (!entry) return;
  const list = chosen(state);
  const to = list[list.indexOf(entry) + step];
  if (to) go({ id: to.id });
}

function siblings() {
  const entry = byId.get(readState().id);
  if (entry && groups.get(entry.group).length > 1) go({ view: 'group' });
}

function cycle() {
  const names = [...document.querySelectorAll('input[name=show]')].map((input) => input.value);
  if (names.length) go({ show: names[(names.indexOf(showOf(readState(), names)) + 1) % names.length] }, true);
}

function numbers() {
  const box = document.querySelector('[data-numbers]');
  if (box) box.click();
}

const KEYS = {
  trajectories: {
    j: () => mark(1), ArrowDown: () => mark(1), k: () => mark(-1), ArrowUp: () => mark(-1),
    Escape: () => go({ view: 'overview' }),
    Enter: () => { if (marked && document.activeElement === document.body) go({ view: 'trajectory', id: marked }); },
  },
  trajectory: {
    j: () => walk(1), ArrowRight: () => walk(1), k: () => walk(-1), ArrowLeft: () => walk(-1),
    s: siblings, c: cycle, n: numbers,
    Escape: () => go({ view: 'trajectories', id: '' }),
  },
  group: { c: cycle, n: numbers, Escape: () => go({ view: 'trajectory' }) },
  overview: {},
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const state = readState();
  if (typing(event.target)) {
    if (event.key === 'Escape') event.target.blur();
    if (event.key === 'Enter' && state.view === 'trajectories' && event.target.tagName === 'INPUT') mark(0);
    return;
  }
  const arrows = event.key.startsWith('Arrow');
  if (arrows && event.target.matches('input')) return; // they choose among the ways of colouring
  const view = Object.hasOwn(KEYS, state.view) ? KEYS[state.view] : {};
  const action = Object.hasOwn(view, event.key) ? view[event.key]
    : { '?': () => help.showModal(), o: () => go({ view: 'overview' }), t: () => go({ view: 'trajectories', id: '' }),
      d: nextTheme, '/': () => { pendingSearch = true; if (state.view === 'trajectories') search(); else go({ view: 'trajectories', id: '' }); } }[event.key];
  if (!action) return;
  if (event.key !== 'Enter') event.preventDefault();
  action();
}

let pendingSearch = false;

function search() {
  pendingSearch = false;
  const box = document.querySelector('[data-filter=q]');
  box.focus();
  box.select();
}
