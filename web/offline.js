// Registers the service worker once the page has nothing better to do, and offers a newer version when there is one.
const root = document.documentElement;
const workers = navigator.serviceWorker;
if (workers && isSecureContext) start().catch((error) => console.info('no offline use:', error.message));

async function start() {
  // The model first: the same files are not fetched twice at a time.
  await new Promise((resolve) => {
    const look = () => root.dataset.model === 'ready' && resolve();
    new MutationObserver(look).observe(root, { attributeFilter: ['data-model'] });
    look();
  });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const registration = await workers.register('./sw.js', { updateViaCache: 'none' });
  const waits = () => {
    if (registration.waiting && workers.controller) document.getElementById('update').hidden = false;
  };
  registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', waits));
  waits();
  document.getElementById('take-update').addEventListener('click', () => {
    workers.addEventListener('controllerchange', () => location.reload(), { once: true });
    registration.waiting?.postMessage('take over');
  });
  await workers.ready;
  root.dataset.offline = 'ready';
}
