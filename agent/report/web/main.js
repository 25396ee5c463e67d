// Draws the view that the address names, and again whenever it changes.
const main = document.getElementById('main');
const themes = ['auto', 'light', 'dark'];
const themeButton = document.getElementById('theme');
const VIEWS = new Map([['overview', overviewView], ['trajectories', tableView], ['trajectory', trajectoryView], ['group', groupView]]);
let drawing = 0; // trajectories are unpacked meanwhile: only the newest drawing may appear
let shownView = null;
let drawnHash = null;

function remembered() {
  try { return localStorage.getItem('theme') || 'auto'; } catch { return 'auto'; }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = themes.includes(theme) ? theme : 'auto';
  themeButton.textContent = `Theme: ${document.documentElement.dataset.theme}`;
  try { localStorage.setItem('theme', theme); } catch { /* a page from a file may have no storage */ }
}

function nextTheme() {
  setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]);
}

function showFilters() {
  const holder = document.getElementById('filters');
  if (holder) holder.replaceChildren(filterBar(readState()));
}

async function render(arrived = false) {
  const state = readState();
  const number = ++drawing;
  drawnHash = location.hash;
  const name = VIEWS.has(state.view) ? state.view : 'overview';
  for (const link of document.querySelectorAll('[data-view]')) {
    const here = link.dataset.view === (name === 'overview' ? 'overview' : 'trajectories');
    if (here) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
    link.href = linkTo({ view: link.dataset.view, id: '' });
  }
  if (name === 'trajectories') {
    if (shownView !== name) {
      replace(main, h('h1', { tabindex: '-1', class: 'quiet' }, 'Trajectories'), h('div', { id: 'filters' }), h('div', { id: 'list' }));
      arrived = true;
    }
    if (arrived) showFilters();
    replace(document.getElementById('list'), tableView(state));
  } else {
    const made = await VIEWS.get(name)(state);
    if (number !== drawing) return;
    const at = document.activeElement && document.activeElement.matches('input[name=show]') ? `input[name=show][value=${readState().show || 'logprob'}]`
      : document.activeElement && document.activeElement.matches('[data-numbers]') ? '[data-numbers]' : null;
    replace(main, made);
    redraw();
    const again = at && main.querySelector(at);
    if (again) again.focus();
  }
  if (arrived || shownView !== name) settle(name, state);
  shownView = name;
  document.documentElement.dataset.ready = name;
}

// After a step from one view to another: where the reader was in the table, or at the head of what is new.
function settle(name, state) {
  const before = shownView;
  shownView = name;
  if (state.id) marked = state.id;
  if (pendingSearch && name === 'trajectories') { search(); return; }
  if (before === null) return;
  const row = name === 'trajectories' && marked ? document.querySelector(`[data-id="${CSS.escape(marked)}"]`) : null;
  if (row && before !== 'trajectories') { markLink(row); return; }
  if (before === name && name === 'trajectories') return;
  const head = main.querySelector('h1, h2');
  if (head) head.focus({ preventScroll: true });
  scrollTo(0, 0);
}

setTheme(remembered());
themeButton.addEventListener('click', nextTheme);
document.getElementById('keys').addEventListener('click', () => help.showModal());
document.getElementById('close').addEventListener('click', () => help.close());
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault(); // what stands behind the # is where the reader is
  (main.querySelector('h1, h2') || main).focus();
});
addEventListener('hashchange', () => { if (location.hash !== drawnHash) render(true); });
addEventListener('keydown', pressed);
let resized = 0;
addEventListener('resize', () => { clearTimeout(resized); resized = setTimeout(redraw, 100); });
render();
