// Where the reader is stands in the address behind the #, so that it can be shared and the way back works.
const DEFAULTS = {
  view: 'overview', id: '', run: '0', q: '', end: '', stop: '', file: '', env: '', policy: '', task: '',
  min: '', max: '', sort: '', page: '1', show: '', numbers: '',
};
const FILTERS = ['q', 'end', 'stop', 'file', 'env', 'policy', 'task', 'min', 'max'];

function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  const state = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (given.has(name)) state[name] = given.get(name);
  return state;
}

function hashOf(state) {
  const kept = Object.entries(state).filter(([name, value]) => name in DEFAULTS && value !== DEFAULTS[name]);
  return `#${new URLSearchParams(kept)}`;
}

const linkTo = (changes) => hashOf({ ...readState(), ...changes });

// A new place in the history; `quiet` changes the place where the reader already is. Drawn at once and not when the
// browser tells of the new address: the next key may come before that.
function go(changes, quiet = false) {
  const hash = linkTo(changes);
  if (quiet) history.replaceState(null, '', hash); else location.hash = hash;
  if (quiet || location.hash !== drawnHash) render(!quiet);
}
