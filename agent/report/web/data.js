// What the page holds: the index is read at once, a trajectory only when somebody looks at it.
const index = JSON.parse(document.getElementById('index').textContent);
const KEPT = 64;
const unpacked = new Map();
let unpackings = 0;

const entries = index.rows.map((row, place) => {
  const entry = { place };
  index.columns.forEach((column, i) => { entry[column] = row[i]; });
  const file = index.files[entry.file];
  entry.where = file.kind === 'rollout' && file.step !== null ? `step ${file.step}` : file.name;
  entry.folder = file.folder;
  // Siblings of a step; of an evaluation, the same task whoever played it.
  const part = file.kind === 'rollout' ? entry.file : 'evaluation';
  entry.group = JSON.stringify([file.folder, part, entry.env, entry.task, entry.seed]);
  entry.sought = `${entry.text}\n${entry.reason}`.toLowerCase();
  return entry;
});
const byId = new Map(entries.map((entry) => [entry.id, entry]));
const groups = new Map();
for (const entry of entries) {
  if (!groups.has(entry.group)) groups.set(entry.group, []);
  groups.get(entry.group).push(entry);
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return JSON.parse(await new Response(stream).text());
}

// The whole of a trajectory, or null where it was left out of the page.
async function whole(entry) {
  if (entry.block === null) return null;
  if (!unpacked.has(entry.block)) {
    unpackings += 1;
    document.documentElement.dataset.unpacked = String(unpackings);
    unpacked.set(entry.block, unpack(document.getElementById(`t${entry.block}`).textContent));
    if (unpacked.size > KEPT) unpacked.delete(unpacked.keys().next().value);
  }
  return unpacked.get(entry.block);
}

const pictureOf = (block) => document.getElementById(`p${block}`).textContent;
