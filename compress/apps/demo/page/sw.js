// Cache first: after the first visit the page works without a network. The version and the list of files are filled in
// when the folder is written; another model or page is another version, and the old cache goes.
const VERSION = '@VERSION@', FILES = @FILES@;

self.addEventListener('install', event => event.waitUntil(
  caches.open(VERSION).then(cache => cache.addAll(FILES)).then(() => self.skipWaiting())));

self.addEventListener('activate', event => event.waitUntil(
  caches.keys()
    .then(keys => Promise.all(keys.filter(key => key !== VERSION).map(key => caches.delete(key))))
    .then(() => self.clients.claim())));

self.addEventListener('fetch', event => {
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== location.origin) return;
  event.respondWith(caches.open(VERSION)
    .then(cache => cache.match(event.request, {ignoreSearch: true}))
    .then(kept => kept ?? fetch(event.request)));
});
