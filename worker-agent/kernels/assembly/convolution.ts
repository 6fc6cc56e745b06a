// Dense convolution with any kernel and stride as a matrix product over patches (im2col), one image at a time so that
// the patches stay small. A 1×1 convolution of stride 1 is the product itself, over all images at once.
// Geometry arguments: input height, width, channels (ih, iw, ic), output (oh, ow, oc), kernel, stride, and the padding
// before the first row and column; what lies outside the image is zero.

import { multiply, multiplyTransposed, packPanels } from './matrix';

/** Gathers image[ih, iw, ic] into patches[oh * ow, kernel * kernel * ic]. */
function gatherPatches(
  image: usize,
  patches: usize,
  ih: i32,
  iw: i32,
  ic: i32,
  oh: i32,
  ow: i32,
  kernel: i32,
  stride: i32,
  top: i32,
  left: i32,
): void {
  const pixel = ic << 2;
  for (let oy = 0; oy < oh; oy++) {
    for (let ox = 0; ox < ow; ox++) {
      for (let ky = 0; ky < kernel; ky++) {
        const y = oy * stride + ky - top;
        for (let kx = 0; kx < kernel; kx++) {
          const x = ox * stride + kx - left;
          const inside = y >= 0 && y < ih && x >= 0 && x < iw;
          const source = image + (y * iw + x) * pixel;
          for (let c = 0; c < pixel; c += 4) {
            store<f32>(patches + c, inside ? load<f32>(source + c) : 0);
          }
          patches += pixel;
        }
      }
    }
  }
}

/** Adds patches[oh * ow, kernel * kernel * ic] back to image[ih, iw, ic]: the transpose of gathering. */
function scatterPatches(
  image: usize,
  patches: usize,
  ih: i32,
  iw: i32,
  ic: i32,
  oh: i32,
  ow: i32,
  kernel: i32,
  stride: i32,
  top: i32,
  left: i32,
): void {
  const pixel = ic << 2;
  for (let oy = 0; oy < oh; oy++) {
    for (let ox = 0; ox < ow; ox++) {
      for (let ky = 0; ky < kernel; ky++) {
        const y = oy * stride + ky - top;
        for (let kx = 0; kx < kernel; kx++) {
          const x = ox * stride + kx - left;
          if (y >= 0 && y < ih && x >= 0 && x < iw) {
            const target = image + (y * iw + x) * pixel;
            for (let c = 0; c < pixel; c += 4) {
              store<f32>(target + c, load<f32>(target + c) + load<f32>(patches + c));
            }
          }
          patches += pixel;
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

/** Scratch bytes that each of the three functions below needs. */
export function convolutionScratchBytes(
  ic: i32,
  oh: i32,
  ow: i32,
  oc: i32,
  kernel: i32,
): i32 {
  const patch = kernel * kernel * ic;
  return max(panelBytes(patch, oc), panelBytes(oc, patch)) + oh * ow * patch * 4 + 16;
}

/** y[batch, oh, ow, oc] from x[batch, ih, iw, ic] and filter[kernel, kernel, ic, oc]. */
export function convolve(
  x: usize,
  filter: usize,
  y: usize,
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
): void {
  const patch = kernel * kernel * ic;
  packPanels(filter, patch, oc, oc << 2, 4, scratch);
  if (kernel == 1 && stride == 1) {
    multiply(x, scratch, y, batch * oh * ow, ic, oc);
    return;
  }
  const patches = scratch + panelBytes(patch, oc);
  for (let image = 0; image < batch; image++) {
    gatherPatches(x, patches, ih, iw, ic, oh, ow, kernel, stride, top, left);
    multiply(patches, scratch, y, oh * ow, patch, oc);
    x += (ih * iw * ic) << 2;
    y += (oh * ow * oc) << 2;
  }
}

/** dfilter[kernel, kernel, ic, oc] from x and dy. */
export function convolveFilterGradient(
  x: usize,
  dy: usize,
  dfilter: usize,
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
): void {
  const patch = kernel * kernel * ic;
  memory.fill(dfilter, 0, (patch * oc) << 2);
  if (kernel == 1 && stride == 1) {
    multiplyTransposed(x, dy, dfilter, batch * oh * ow, ic, oc);
    return;
  }
  for (let image = 0; image < batch; image++) {
    gatherPatches(x, scratch, ih, iw, ic, oh, ow, kernel, stride, top, left);
    multiplyTransposed(scratch, dy, dfilter, oh * ow, patch, oc);
    x += (ih * iw * ic) << 2;
    dy += (oh * ow * oc) << 2;
  }
}

/** dx[batch, ih, iw, ic] from dy and filter. */
export function convolveInputGradient(
  dy: usize,
  filter: usize,
  dx: usize,
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
): void {
  const patch = kernel * kernel * ic;
  packPanels(filter, oc, patch, 4, oc << 2, scratch);
  if (kernel == 1 && stride == 1) {
    multiply(dy, scratch, dx, batch * oh * ow, oc, ic);
    return;
  }
  memory.fill(dx, 0, (batch * ih * iw * ic) << 2);
  const patches = scratch + panelBytes(oc, patch);
  for (let image = 0; image < batch; image++) {
    multiply(dy, scratch, patches, oh * ow, oc, patch);
    scatterPatches(dx, patches, ih, iw, ic, oh, ow, kernel, stride, top, left);
    dx += (ih * iw * ic) << 2;
    dy += (oh * ow * oc) << 2;
  }
}
