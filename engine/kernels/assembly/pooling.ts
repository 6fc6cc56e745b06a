// Max pooling, NHWC, and its gradient: each dy goes to the first largest element of its window. Windows reach `top` and `left` beyond the
// image, and every one holds an element of it.

import { loadLanes, storeLanes } from './simd';

/** y[batch, oh, ow, channels] from x[batch, ih, iw, channels]; NaN where a window has one. */
export function maxPool(
  x: usize,
  y: usize,
  batch: i32,
  ih: i32,
  iw: i32,
  channels: i32,
  oh: i32,
  ow: i32,
  kernel: i32,
  stride: i32,
  top: i32,
  left: i32,
): void {
  for (let image = 0; image < batch; image++) {
    for (let oy = 0; oy < oh; oy++) {
      const startY = max(0, oy * stride - top);
      const endY = min(ih, oy * stride - top + kernel);
      for (let ox = 0; ox < ow; ox++) {
        const startX = max(0, ox * stride - left);
        const endX = min(iw, ox * stride - left + kernel);
        for (let c = 0; c < channels; c += 4) {
          const lanes = channels - c;
          let largest = loadLanes(x + (((startY * iw + startX) * channels + c) << 2), lanes);
          for (let row = startY; row < endY; row++) {
            for (let column = startX; column < endX; column++) {
              const position = ((row * iw + column) * channels + c) << 2;
              // NaN if either is.
              largest = f32x4.max(largest, loadLanes(x + position, lanes));
            }
          }
          storeLanes(y + (c << 2), largest, lanes);
        }
        y += channels << 2;
      }
    }
    x += (ih * iw * channels) << 2;
  }
}

/** dx[batch, ih, iw, channels] from x, dy[batch, oh, ow, channels]; windows reach `top` and `left` beyond the image. */
export function maxPoolGradient(
  x: usize,
  dy: usize,
  dx: usize,
  batch: i32,
  ih: i32,
  iw: i32,
  channels: i32,
  oh: i32,
  ow: i32,
  kernel: i32,
  stride: i32,
  top: i32,
  left: i32,
): void {
  memory.fill(dx, 0, (batch * ih * iw * channels) << 2);
  for (let image = 0; image < batch; image++) {
    for (let oy = 0; oy < oh; oy++) {
      const startY = max(0, oy * stride - top);
      const endY = min(ih, oy * stride - top + kernel);
      for (let ox = 0; ox < ow; ox++) {
        const startX = max(0, ox * stride - left);
        const endX = min(iw, ox * stride - left + kernel);
        for (let c = 0; c < channels; c++) {
          let best = ((startY * iw + startX) * channels + c) << 2;
          for (let y = startY; y < endY; y++) {
            for (let x0 = startX; x0 < endX; x0++) {
              const position = ((y * iw + x0) * channels + c) << 2;
              if (load<f32>(x + position) > load<f32>(x + best)) best = position;
            }
          }
          store<f32>(dx + best, load<f32>(dx + best) + load<f32>(dy));
          dy += 4;
        }
      }
    }
    x += (ih * iw * channels) << 2;
    dx += (ih * iw * channels) << 2;
  }
}
