import {loadLiteRt, loadAndCompile, Tensor} from './vendor/litert.js';

const WASM = './vendor/litert_wasm_compat_internal.js';
const FPS_WINDOW_MS = 2000;
const MAX_SHOWN = 960;  // pixels of the longer side of the picture on the page
const by = id => document.getElementById(id);
const say = text => { by('status').textContent = text; };
const state = {card: null, model: null, input: null, size: null, stream: null, facing: 'environment', ends: []};

/** Loads the card, the runtime and the model. */
async function start() {
  const installed = location.host === 'appassets.androidplatform.net';  // an app's own files: nothing to cache
  if ('serviceWorker' in navigator && !installed) navigator.serviceWorker.register('sw.js').catch(error => say(String(error)));
  state.card = await (await fetch('model.json')).json();
  const [, height, width] = state.card.input.shape;
  state.size = {height, width};
  by('stage').style.setProperty('--ratio', width / height);
  const canvas = Object.assign(document.createElement('canvas'), {width, height});
  state.work = canvas.getContext('2d', {willReadFrequently: true});
  showLegend();
  await showSamples();
  const begun = performance.now();
  await loadLiteRt(WASM);
  state.model = await loadAndCompile('model.tflite', {accelerator: 'wasm'});
  state.input = state.model.getInputDetails()[0];
  by('about').textContent = `${state.card.genotype.space}, ${height}×${width}, int8`;
  say(`The model was ready after ${Math.round(performance.now() - begun)} ms.`);
}

/** A button for each image that the page brings along. Photo and camera have three bands. */
async function showSamples() {
  const samples = await (await fetch('samples.json')).json(), other = state.card.input.shape[3] !== 3;
  for (const id of ['photo', 'camera', 'flip']) by(id).hidden = other;
  by('hint').textContent = other ? 'Choose an image.' : 'Take a photo or start the camera.';
  by('samples').replaceChildren(...samples.map(({name, pixels, picture}) => {
    const button = Object.assign(document.createElement('button'), {type: 'button', title: name});
    button.append(Object.assign(document.createElement('img'), {src: picture, alt: name}));
    button.addEventListener('click', async () => {
      stop();
      const [image, bytes] = await Promise.all([picture, pixels].map(async url => (await fetch(url))));
      await segment(await createImageBitmap(await image.blob()), new Uint8Array(await bytes.arrayBuffer()));
      say(name);
    });
    return button;
  }));
}

/** A line for each class; `state.palette` has the colours as RGBA words. */
function showLegend() {
  by('legend').replaceChildren(...state.card.classes.map((name, index) => {
    const item = document.createElement('li');
    const patch = document.createElement('i');
    patch.style.background = `rgb(${state.card.colours[index].join()})`;
    item.append(patch, name, document.createElement('output'));
    return item;
  }));
  state.palette = new Uint32Array(256);
  state.card.colours.forEach(([red, green, blue], index) => {
    state.palette[index] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  });
}

/** RGBA bytes to RGB bytes, which the model reads. */
function pack(rgba) {
  const packed = new Uint8Array(rgba.length / 4 * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    packed[to++] = rgba[from];
    packed[to++] = rgba[from + 1];
    packed[to++] = rgba[from + 2];
  }
  return packed;
}

/** Class index of each pixel that the model gives, for RGB bytes of the model's size. */
async function classify(packed) {
  const input = new Tensor(packed, Array.from(state.input.shape));
  const [result] = await state.model.run([input]);
  const classes = result.toTypedArray().slice();
  input.delete();
  result.delete();
  return classes;
}

/** RGB bytes of a picture or a frame at the model's size. */
function shrink(source) {
  const {width, height} = state.size;
  state.work.imageSmoothingQuality = 'high';
  state.work.drawImage(source, 0, 0, width, height);
  return pack(state.work.getImageData(0, 0, width, height).data);
}

/** Segments a picture or a frame and shows it. `given` are the bytes that the model reads, where they are known. */
async function segment(source, given = null) {
  const begun = performance.now();
  const packed = given ?? shrink(source);
  const fed = performance.now();
  const classes = await classify(packed);
  const ran = performance.now();
  showPicture(source);
  showClasses(classes);
  by('hint').hidden = true;
  const end = performance.now();
  state.ends = [...state.ends.filter(time => time > end - FPS_WINDOW_MS), end];
  by('model-ms').textContent = (ran - fed).toFixed(1);
  by('frame-ms').textContent = (end - begun).toFixed(1);
  const seconds = (end - state.ends[0]) / 1000;
  by('fps').textContent = state.stream && state.ends.length > 2 ? ((state.ends.length - 1) / seconds).toFixed(1) : '–';
}

/** Shows a picture or a frame in its own proportions; the model sees it stretched to its input. */
function showPicture(source) {
  const wide = source.videoWidth ?? source.width, high = source.videoHeight ?? source.height;
  const scale = Math.min(1, MAX_SHOWN / Math.max(wide, high));
  const width = Math.round(wide * scale), height = Math.round(high * scale);
  const picture = by('picture');
  if (picture.width !== width || picture.height !== height) {
    Object.assign(picture, {width, height});
    by('stage').style.setProperty('--ratio', width / height);
  }
  picture.getContext('2d').drawImage(source, 0, 0, width, height);
}

/** Colours the overlay and writes the share of each class; a model may give fewer pixels than it reads. */
function showClasses(classes) {
  const [, rows, columns] = state.card.output.shape;
  const counts = new Uint32Array(state.card.classes.length), image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < classes.length; i++) {
    pixels[i] = state.palette[classes[i]];
    counts[classes[i]]++;
  }
  const overlay = by('overlay');
  if (overlay.width !== columns || overlay.height !== rows) Object.assign(overlay, {width: columns, height: rows});
  overlay.getContext('2d').putImageData(image, 0, 0);
  [...by('legend').children].forEach((item, index) => {
    const share = counts[index] / classes.length;
    item.querySelector('output').textContent = share ? `${(100 * share).toFixed(1)} %` : '';
    item.classList.toggle('absent', !share);
  });
}

function stop() {
  state.stream?.getTracks().forEach(track => track.stop());
  state.stream = null;
  by('camera').textContent = 'Camera';
}

async function startCamera() {
  const video = Object.assign(document.createElement('video'), {playsInline: true, muted: true});
  const wanted = {facingMode: state.facing, width: {ideal: 1280}};
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({audio: false, video: wanted});
  } catch (error) {
    say(`The camera cannot be used: ${error.message}.`);
    return;
  }
  video.srcObject = state.stream;
  await video.play();
  by('camera').textContent = 'Stop';
  state.ends = [];
  while (state.stream) {
    await new Promise(resolve => video.requestVideoFrameCallback?.(resolve) ?? requestAnimationFrame(resolve));
    if (state.stream && !document.hidden) await segment(video);
  }
}

by('file').addEventListener('change', async event => {
  const [file] = event.target.files;
  event.target.value = '';  // the same photo may be taken again
  if (!file) return;
  stop();
  try {
    await segment(await createImageBitmap(file));
    say(file.name);
  } catch (error) {
    say(`${file.name} is no picture that this browser can read: ${error.message}`);
  }
});
by('camera').addEventListener('click', () => state.stream ? stop() : startCamera());
by('flip').addEventListener('click', async () => {
  state.facing = state.facing === 'user' ? 'environment' : 'user';
  if (state.stream) {
    stop();
    await startCamera();
  }
});
const mix = () => { by('overlay').style.opacity = by('opacity').value / 100; };
by('opacity').addEventListener('input', mix);
mix();

window.slimlab = {state, classify, segment, ready: start()};
window.slimlab.ready.catch(error => {
  say(`The model cannot be loaded: ${error.message ?? error}`);
  console.error(error);
});
