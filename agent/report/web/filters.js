// Which trajectories are listed, and in which order.
const ENDS = ['terminated', 'truncated', 'failed'];
const COLUMNS = [
  { key: 'place', name: 'Episode', value: (entry) => entry.place },
  { key: 'task', name: 'Task', number: true, value: (entry) => asNumber(entry.task) },
  { key: 'env', name: 'Environment', several: 'env', value: (entry) => entry.env },
  { key: 'policy', name: 'Policy', several: 'policy', value: (entry) => entry.policy },
  { key: 'score', name: 'Score', number: true, value: (entry) => entry.score },
  { key: 'advantage', name: 'Advantage', number: true, several: 'advantage', value: (entry) => entry.advantage },
  { key: 'end', name: 'Outcome', value: (entry) => entry.end },
  { key: 'stop', name: 'Stop', value: (entry) => entry.stop },
  { key: 'turns', name: 'Turns', number: true, value: (entry) => entry.turns },
  { key: 'tokens', name: 'Tokens', number: true, value: (entry) => entry.tokens },
];
const asNumber = (text) => (text !== '' && Number.isFinite(Number(text)) ? Number(text) : text);
const valuesOf = (key) => [...new Set(entries.map((entry) => entry[key]))].filter((v) => v !== '' && v !== null);

function chosen(state) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const least = state.min === '' ? null : Number(state.min);
  const most = state.max === '' ? null : Number(state.max);
  const found = entries.filter((entry) =>
    (state.end === '' || entry.end === state.end)
    && (state.stop === '' || entry.stop === state.stop)
    && (state.file === '' || index.files[entry.file].id === state.file)
    && (state.env === '' || entry.env === state.env)
    && (state.policy === '' || entry.policy === state.policy)
    && (state.task === '' || entry.task === state.task)
    && (least === null || Number.isNaN(least) || (entry.score !== null && entry.score >= least))
    && (most === null || Number.isNaN(most) || (entry.score !== null && entry.score <= most))
    && words.every((word) => entry.sought.includes(word)));
  const down = state.sort.startsWith('-');
  const column = COLUMNS.find((each) => each.key === state.sort.replace('-', ''));
  if (!column) return found;
  return found.sort((a, b) => compare(column.value(a), column.value(b), down) || a.place - b.place);
}

// What is not known comes last, whichever way the list is sorted.
function compare(a, b, down) {
  const missing = (value) => value === null || value === '';
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const order = typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === 'number' ? -1 : 1;
  return down ? -order : order;
}
