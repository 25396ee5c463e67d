// Loads the table again every 10 seconds, as long as somebody looks and wants it.
const EVERY = 10000;
const liveButton = document.getElementById('live');
const themeButton = document.getElementById('theme');
const told = document.getElementById('told');
const themes = ['auto', 'light', 'dark'];

function read(storage, key) {
  try { return storage().getItem(key) || ''; } catch { return ''; }
}

function keep(storage, key, value) {
  try { storage().setItem(key, value); } catch { /* storage may be switched off */ }
}

const theme = () => localStorage; // the same as the pages of runs have
const tab = () => sessionStorage;

function setTheme(name) {
  document.documentElement.dataset.theme = themes.includes(name) ? name : 'auto';
  themeButton.textContent = `Theme: ${document.documentElement.dataset.theme}`;
}

function setLive(live) {
  liveButton.setAttribute('aria-pressed', String(live));
  liveButton.textContent = live ? 'Live' : 'Paused';
  keep(tab, 'paused', live ? '' : 'yes');
}

const nameOf = (element) => element.id || element.getAttribute('href') || '';

async function again() {
  const reading = document.hidden || String(getSelection());
  if (liveButton.getAttribute('aria-pressed') === 'true' && !reading) {
    try {
      if (!(await fetch('/health', { cache: 'no-store' })).ok) throw new Error('not in order');
      keep(tab, 'focus', document.activeElement && document.activeElement !== document.body ? nameOf(document.activeElement) : '');
      location.reload();
      return;
    } catch {
      told.textContent = 'The server does not answer: this is what it said last.';
    }
  }
  setTimeout(again, EVERY);
}

setTheme(read(theme, 'theme'));
setLive(read(tab, 'paused') !== 'yes');
themeButton.addEventListener('click', () => {
  setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]);
  keep(theme, 'theme', document.documentElement.dataset.theme);
});
liveButton.addEventListener('click', () => setLive(liveButton.getAttribute('aria-pressed') !== 'true'));
const focus = read(tab, 'focus');
const before = focus && [...document.querySelectorAll('a, button, main')].find((element) => nameOf(element) === focus);
if (before) before.focus({ preventScroll: true });
keep(tab, 'focus', '');
setTimeout(again, EVERY);
document.documentElement.dataset.ready = 'gallery';
