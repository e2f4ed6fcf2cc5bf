// Registers the service worker once the page has nothing better to do, and offers a newer version when there is one.
const root = document.documentElement;
const workers = navigator.serviceWorker;
const offer = document.getElementById('update');
document.getElementById('take-update').addEventListener('click', update);
if (workers && isSecureContext) start().catch((error) => console.info('no offline use:', error.message));

async function start() {
  // Another tab has taken the newer version: this page is an old one from now on.
  if (workers.controller) workers.addEventListener('controllerchange', () => (offer.hidden = false));
  // The model first: the same files are not fetched twice at a time.
  await new Promise((resolve) => {
    const look = () => root.dataset.model === 'ready' && resolve();
    new MutationObserver(look).observe(root, { attributeFilter: ['data-model'] });
    look();
  });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const registration = await workers.register('./sw.js', { updateViaCache: 'none' });
  const waits = () => {
    if (registration.waiting && workers.controller) offer.hidden = false;
  };
  const watch = (worker) => worker?.addEventListener('statechange', () => {
    waits();
    // A file that is not what it should be: nothing is kept, and the next visit tries again.
    if (worker.state === 'redundant' && !registration.active) root.dataset.offline = 'none';
  });
  watch(registration.installing);
  registration.addEventListener('updatefound', () => watch(registration.installing));
  waits();
  await workers.ready;
  root.dataset.offline = 'ready';
}

/** The newer version takes over, unless another tab has asked for that already, and this tab loads it. */
async function update() {
  const waiting = (await workers?.getRegistration())?.waiting;
  if (!waiting) return location.reload();
  waiting.addEventListener('statechange', () => {
    if (['activated', 'redundant'].includes(waiting.state)) location.reload();
  });
  waiting.postMessage('take over');
}
