// Dense convolution with any kernel and stride as a matrix product over patches (im2col), one image at a time so that
// the patches stay small. A 1×1 convolution of stride 1 is the product itself, over all images at once. With `groups` above 1 the channels
// are as many runs, and each run of outputs is a product over the patches of its own run of inputs; the filter is [kernel, kernel,
// ic / groups, oc].
// A batch-norm in front of the convolution or behind it is taken over a few rows at a time, while these are in the cache
// (normalised.ts): its output and its gradient never reach memory.
//   norm          [3, ic] or 0: x is the input of a batch-norm, and is normalised (and clamped) as it is read
//   coefficients  [5, oc] or 0: dy is the gradient behind a batch-norm of y, and is brought before it as it is read
//   moments       or 0: gets the moments of y (moments.ts)
//   sums          [2, ic] or 0: gets the sums for the gradient of the batch-norm before x
// Geometry arguments: input height, width, channels (ih, iw, ic), output (oh, ow, oc), kernel, stride, the padding
// before the first row and column, and groups; what lies outside the image is zero.

import { multiply, multiplyTransposed, packPanels } from './matrix';
import { addRows, clearMoments } from './moments';
import { gradientRows, normaliseRows, sumGradientRows } from './normalised';

/** Gathers `run` channels of image[ih, iw, ic], from where `image` points, into patches[oh * ow, kernel * kernel * run]. */
function gatherPatches(
  image: usize,
  patches: usize,
  ih: i32,
  iw: i32,
  ic: i32,
  run: i32,
  oh: i32,
  ow: i32,
  kernel: i32,
  stride: i32,
  top: i32,
  left: i32,
): void {
  const pixel = ic << 2;
  const part = run << 2;
  for (let oy = 0; oy < oh; oy++) {
    for (let ox = 0; ox < ow; ox++) {
      const firstX = ox * stride - left;
      const fits = run == ic && firstX >= 0 && firstX + kernel <= iw;
      for (let ky = 0; ky < kernel; ky++) {
        const y = oy * stride + ky - top;
        if (fits && y >= 0 && y < ih) {
          // One row of the window is one run of memory.
          const source = image + (y * iw + firstX) * pixel;
          const bytes = kernel * pixel;
          for (let c = 0; c < bytes; c += 4) store<f32>(patches + c, load<f32>(source + c));
          patches += bytes;
          continue;
        }
        for (let kx = 0; kx < kernel; kx++) {
          const x = ox * stride + kx - left;
          const inside = y >= 0 && y < ih && x >= 0 && x < iw;
          const source = image + (y * iw + x) * pixel;
          for (let c = 0; c < part; c += 4) {
            store<f32>(patches + c, inside ? load<f32>(source + c) : 0);
          }
          patches += part;
        }
      }
    }
  }
}

/** Adds patches[oh * ow, kernel * kernel * run] back to image[ih, iw, ic]: the transpose of gathering. */
function scatterPatches(
  image: usize,
  patches: usize,
  ih: i32,
  iw: i32,
  ic: i32,
  run: i32,
  oh: i32,
  ow: i32,
  kernel: i32,
  stride: i32,
  top: i32,
  left: i32,
): void {
  const pixel = ic << 2;
  const part = run << 2;
  for (let oy = 0; oy < oh; oy++) {
    for (let ox = 0; ox < ow; ox++) {
      for (let ky = 0; ky < kernel; ky++) {
        const y = oy * stride + ky - top;
        for (let kx = 0; kx < kernel; kx++) {
          const x = ox * stride + kx - left;
          if (y >= 0 && y < ih && x >= 0 && x < iw) {
            const target = image + (y * iw + x) * pixel;
            for (let c = 0; c < part; c += 4) {
              store<f32>(target + c, load<f32>(target + c) + load<f32>(patches + c));
            }
          }
          patches += part;
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function panelBytes(inner: i32, columns: i32): i32 {
  return inner * ((columns + 7) & ~7) * 4;
}

/** Bytes that the rows in work may take: what the first-level cache holds (24 to 192 KiB make little difference). */
const CHUNK_BYTES: i32 = 40 * 1024;
const MIN_CHUNK: i32 = 16;
const MAX_CHUNK: i32 = 128;

/** Rows that are worked on at a time. */
// @ts-ignore: decorator
@inline
function chunkRows(ic: i32, oc: i32): i32 {
  return max(MIN_CHUNK, min(MAX_CHUNK, (CHUNK_BYTES / ((ic + oc) << 2)) & ~3));
}

/** Scratch bytes that each of the two functions below needs. */
export function convolutionScratchBytes(ic: i32, oh: i32, ow: i32, oc: i32, kernel: i32, groups: i32): i32 {
  const patch = kernel * kernel * (ic / groups);
  const outputs = oc / groups;
  const panels = groups * max(panelBytes(patch, outputs), panelBytes(outputs, patch));
  return panels + max(oh * ow, chunkRows(ic, oc)) * (patch + oc) * 4 + 16;
}

/** y[batch, oh, ow, oc] from x[batch, ih, iw, ic] and the filter. `norm` only where 1×1, stride 1, one group. */
export function convolve(
  x: usize,
  filter: usize,
  y: usize,
  norm: usize,
  activation: i32,
  moments: usize,
  scratch: usize,
  batch: i32,
  ih: i32,
  iw: i32,
  ic: i32,
  oh: i32,
  ow: i32,
  oc: i32,
  kernel: i32,
  stride: i32,
  top: i32,
  left: i32,
  groups: i32,
): void {
  const run = ic / groups;
  const patch = kernel * kernel * run;
  const outputs = oc / groups;
  const panels = panelBytes(patch, outputs);
  for (let group = 0; group < groups; group++) {
    packPanels(filter + ((group * outputs) << 2), patch, outputs, oc << 2, 4, scratch + group * panels);
  }
  if (moments) clearMoments(moments, oc);
  const work = scratch + groups * panels;
  if (kernel > 1 || stride > 1 || groups > 1) {
    for (let image = 0; image < batch; image++) {
      for (let group = 0; group < groups; group++) {
        gatherPatches(x + ((group * run) << 2), work, ih, iw, ic, run, oh, ow, kernel, stride, top, left);
        const made = y + ((group * outputs) << 2);
        multiply(work, scratch + group * panels, made, oh * ow, patch, outputs, patch << 2, oc << 2);
      }
      if (moments) addRows(y, moments, oh * ow, oc);
      x += (ih * iw * ic) << 2;
      y += (oh * ow * oc) << 2;
    }
    return;
  }
  const rows = batch * oh * ow;
  const chunk = chunkRows(ic, oc);
  for (let first = 0; first < rows; first += chunk) {
    const count = min(chunk, rows - first);
    if (norm) normaliseRows(x, work, norm, count, ic, activation);
    multiply(norm ? work : x, scratch, y, count, ic, oc, ic << 2, oc << 2);
    if (moments) addRows(y, moments, count, oc);
    x += (count * ic) << 2;
    y += (count * oc) << 2;
  }
}

/**
 * dfilter, as the filter, and dx[batch, ih, iw, ic], either of them if its pointer is not 0. With `coefficients`,
 * `y` is the convolution's output; with `norm` (only where 1×1, stride 1, one group) dx is the gradient behind that batch-norm.
 */
export function convolveGradient(
  x: usize,
  norm: usize,
  activation: i32,
  y: usize,
  dy: usize,
  coefficients: usize,
  yActivation: i32,
  filter: usize,
  dfilter: usize,
  dx: usize,
  sums: usize,
  scratch: usize,
  batch: i32,
  ih: i32,
  iw: i32,
  ic: i32,
  oh: i32,
  ow: i32,
  oc: i32,
  kernel: i32,
  stride: i32,
  top: i32,
  left: i32,
  groups: i32,
): void {
  const run = ic / groups;
  const patch = kernel * kernel * run;
  const outputs = oc / groups;
  const panels = panelBytes(outputs, patch);
  const isPlain = kernel == 1 && stride == 1 && groups == 1;
  for (let group = 0; dx && group < groups; group++) {
    packPanels(filter + ((group * outputs) << 2), outputs, patch, 4, oc << 2, scratch + group * panels);
  }
  if (dfilter) memory.fill(dfilter, 0, (patch * oc) << 2);
  if (sums) memory.fill(sums, 0, ic << 3);
  if (dx && !isPlain) memory.fill(dx, 0, (batch * ih * iw * ic) << 2);
  const total = batch * oh * ow;
  const chunk = isPlain ? chunkRows(ic, oc) : oh * ow;
  const patches = scratch + groups * panels;
  const gradients = patches + ((chunk * patch) << 2);
  for (let first = 0; first < total; first += chunk) {
    const count = min(chunk, total - first);
    let g = dy;
    if (coefficients) {
      gradientRows(y, dy, gradients, coefficients, count, oc, yActivation);
      g = gradients;
      y += (count * oc) << 2;
    }
    if (isPlain) {
      if (dfilter) {
        if (norm) normaliseRows(x, patches, norm, count, ic, activation);
        multiplyTransposed(norm ? patches : x, g, dfilter, count, ic, oc, oc << 2);
      }
      if (dx) {
        multiply(g, scratch, dx, count, oc, ic, oc << 2, ic << 2);
        if (sums) sumGradientRows(x, dx, norm, sums, count, ic, activation);
        dx += (count * ic) << 2;
      }
    } else {
      for (let group = 0; group < groups; group++) {
        const from = (group * run) << 2;
        const made = (group * outputs) << 2;
        if (dfilter) {
          gatherPatches(x + from, patches, ih, iw, ic, run, oh, ow, kernel, stride, top, left);
          multiplyTransposed(patches, g + made, dfilter + made, count, patch, outputs, oc << 2);
        }
        if (dx) {
          multiply(g + made, scratch + group * panels, patches, count, outputs, patch, oc << 2, patch << 2);
          scatterPatches(dx + from, patches, ih, iw, ic, run, oh, ow, kernel, stride, top, left);
        }
      }
      if (dx) dx += (ih * iw * ic) << 2;
    }
    dy += (count * oc) << 2;
    x += (isPlain ? count * ic : ih * iw * ic) << 2;
  }
}
