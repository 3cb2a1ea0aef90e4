"use strict";
const by = id => document.getElementById(id);
const say = (id, text) => { by(id).textContent = text; };
const WHITE_ENOUGH = 20, SIDE = 28, BOX = 20; // of a pixel from 0 to 255; MNIST's pictures, and the digits in them
const board = by("board"), pen = board.getContext("2d", { willReadFrequently: true });
let facts, sessions = {}, next = 0;

function session(name) {
  sessions[name] ??= ort.InferenceSession.create(name + ".onnx", { executionProviders: ["wasm"] });
  return sessions[name];
}

async function start() {
  if (location.protocol === "file:") {
    say("answer", "A page from a disk may not load models: serve the site (python -m http.server -d site) and open it there.");
    return;
  }
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
  facts = await (await fetch("facts.json")).json();
  await session("lenet5-mnist");
  say("answer", "Draw a digit on the board.");
}

// From the board to the picture that the model was trained on: the digit 20 pixels high or wide, its centre of mass in the middle.
function digit() {
  const { width, height } = board, pixels = pen.getImageData(0, 0, width, height).data;
  let [x0, y0, x1, y1] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (pixels[4 * (y * width + x)] > WHITE_ENOUGH) {
    x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y);
  }
  if (x1 < 0) return null;
  const w = x1 - x0 + 1, h = y1 - y0 + 1, scale = BOX / Math.max(w, h);
  const small = document.createElement("canvas"), to = small.getContext("2d", { willReadFrequently: true });
  small.width = small.height = SIDE;
  const place = (dx, dy) => {
    to.fillStyle = "#000"; to.fillRect(0, 0, SIDE, SIDE);
    to.imageSmoothingQuality = "high";
    to.drawImage(board, x0, y0, w, h, (SIDE - w * scale) / 2 + dx, (SIDE - h * scale) / 2 + dy, w * scale, h * scale);
    return Array.from({ length: SIDE * SIDE }, (_, i) => to.getImageData(i % SIDE, Math.floor(i / SIDE), 1, 1).data[0]);
  };
  const grey = values => {
    const sum = values.reduce((a, b) => a + b, 0) || 1;
    return [values.reduce((a, v, i) => a + v * (i % SIDE), 0) / sum, values.reduce((a, v, i) => a + v * Math.floor(i / SIDE), 0) / sum];
  };
  const [cx, cy] = grey(place(0, 0));
  return place(Math.round(SIDE / 2 - .5 - cx), Math.round(SIDE / 2 - .5 - cy));
}

async function classify() {
  const values = digit();
  if (!values) { by("bars").replaceChildren(); say("answer", "The board is empty: draw a digit first."); return; }
  const { mean, std } = facts.reader;
  const input = new ort.Tensor("float32", Float32Array.from(values, v => (v / 255 - mean) / std), [1, 1, SIDE, SIDE]);
  const model = await session("lenet5-mnist"), out = await model.run({ [model.inputNames[0]]: input });
  const logits = Array.from(out[model.outputNames[0]].data), most = Math.max(...logits);
  const raised = logits.map(v => Math.exp(v - most)), sum = raised.reduce((a, b) => a + b);
  const chances = raised.map(v => v / sum), best = chances.indexOf(Math.max(...chances));
  say("answer", `This is a ${best} (${(100 * chances[best]).toFixed(1)} %).`);
  by("bars").replaceChildren(...chances.flatMap((p, i) => {
    const [name, bar, text, fill] = ["dt", "div", "dd", "i"].map(tag => document.createElement(tag));
    name.textContent = i; bar.className = "bar"; fill.style.width = 100 * p + "%"; bar.append(fill);
    text.textContent = (100 * p).toFixed(1) + " %";
    return [name, bar, text];
  }));
}

function normal() { // Box and Muller
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

async function step(x, t, n) {
  const model = await session("consistency-mnist"), [first, second] = model.inputNames;
  const out = await model.run({
    [first]: new ort.Tensor("float32", x, [n, 1, SIDE, SIDE]),
    [second]: new ort.Tensor("int64", BigInt64Array.from(t, BigInt), [n]),
  });
  return out[model.outputNames[0]].data;
}

async function sample() {
  const n = 9, began = performance.now(), button = by("sample");
  button.disabled = true;
  say("drawing", "Drawing …");
  try {
    let x = Float32Array.from({ length: n * SIDE * SIDE }, normal);
    for (const t of facts.drawer.times) x = await step(x, Array(n).fill(t), n);
    const to = by("drawn").getContext("2d"), picture = to.createImageData(SIDE, SIDE);
    for (let k = 0; k < n; k++) {
      for (let i = 0; i < SIDE * SIDE; i++) {
        const v = 127.5 * (Math.max(-1, Math.min(1, x[k * SIDE * SIDE + i])) + 1);
        picture.data.set([v, v, v, 255], 4 * i);
      }
      to.putImageData(picture, 1 + 30 * (k % 3), 1 + 30 * Math.floor(k / 3));
    }
    say("drawing", `Nine digits in ${((performance.now() - began) / 1000).toFixed(1)} s.`);
  } catch (error) {
    say("drawing", "The model could not run here: " + error.message);
  } finally { button.disabled = false; }
}

async function verify() {
  say("verified", "Comparing …");
  const worst = (found, wanted) => Math.max(...wanted.map((v, i) => Math.abs(v - found[i])));
  const { reader, drawer } = facts, model = await session("lenet5-mnist");
  const input = new ort.Tensor("float32", Float32Array.from(reader.input), reader.shape);
  const logits = (await model.run({ [model.inputNames[0]]: input }))[model.outputNames[0]].data;
  const image = await step(Float32Array.from(drawer.input), drawer.steps, drawer.steps.length);
  const [a, b] = [worst(logits, reader.output), worst(image, drawer.output)];
  say("verified", `Largest deviation from the stored outputs: ${a.toExponential(1)} of lenet5-mnist, ${b.toExponential(1)} of consistency-mnist.`);
  return [a, b];
}

function wipe() {
  pen.fillStyle = "#000"; pen.fillRect(0, 0, board.width, board.height);
  by("bars").replaceChildren();
}

let last = null;
const at = event => [event.offsetX * board.width / board.clientWidth, event.offsetY * board.height / board.clientHeight];
function line(event) {
  const [x, y] = at(event);
  Object.assign(pen, { strokeStyle: "#fff", lineWidth: 20, lineCap: "round", lineJoin: "round" });
  pen.beginPath(); pen.moveTo(...(last ?? [x, y])); pen.lineTo(x, y); pen.stroke();
  last = [x, y];
}
board.addEventListener("pointerdown", event => { board.setPointerCapture(event.pointerId); line(event); });
board.addEventListener("pointermove", event => { if (last) line(event); });
for (const end of ["pointerup", "pointercancel"]) board.addEventListener(end, () => { if (last) { last = null; if (facts) classify(); } });
by("clear").addEventListener("click", () => { wipe(); say("answer", "Draw a digit on the board."); });
by("test").addEventListener("click", () => {
  if (!facts) return;
  const values = facts.digits[next++ % facts.digits.length], picture = pen.createImageData(SIDE, SIDE);
  values.forEach((v, i) => picture.data.set([v, v, v, 255], 4 * i));
  const small = document.createElement("canvas");
  small.width = small.height = SIDE;
  small.getContext("2d").putImageData(picture, 0, 0);
  wipe();
  pen.drawImage(small, 0, 0, board.width, board.height);
  classify();
});
by("sample").addEventListener("click", () => { if (facts) sample(); });
by("verify").addEventListener("click", () => { if (facts) verify(); });
wipe();
start().catch(error => say("answer", "The model could not be loaded: " + error.message));
