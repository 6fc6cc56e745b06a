// Images whose channels are multiplied by one number each, another for every image of the batch: what attention over channels does.

import { read, write } from './normalised';
import { madd, zeros } from './simd';

/** y[batch, positions, channels] = x · scale[batch, channels]. */
export function scaleChannels(x: usize, scale: usize, y: usize, batch: i32, positions: i32, channels: i32): void {
  const stride = channels << 2;
  const whole = stride & ~15;
  const tail = channels & 3;
  for (let image = 0; image < batch; image++) {
    for (let position = 0; position < positions; position++) {
      for (let c = 0; c < whole; c += 16) v128.store(y + c, f32x4.mul(v128.load(x + c), v128.load(scale + c)));
      if (tail) write(y + whole, f32x4.mul(read(x + whole, tail), read(scale + whole, tail)), tail);
      x += stride;
      y += stride;
    }
    scale += stride;
  }
}

// @ts-ignore: decorator
@inline
function productColumn(x: usize, dy: usize, dscale: usize, positions: i32, stride: i32, lanes: i32): void {
  let result = zeros();
  for (let position = 0; position < positions; position++) {
    result = madd(read(x, lanes), read(dy, lanes), result);
    x += stride;
    dy += stride;
  }
  write(dscale, result, lanes);
}

/** dscale[batch, channels] = the sum of x · dy over positions. */
export function scaleGradient(x: usize, dy: usize, dscale: usize, batch: i32, positions: i32, channels: i32): void {
  const stride = channels << 2;
  const whole = stride & ~15;
  const tail = channels & 3;
  for (let image = 0; image < batch; image++) {
    for (let c = 0; c < whole; c += 16) productColumn(x + c, dy + c, dscale + c, positions, stride, 4);
    if (tail) productColumn(x + whole, dy + whole, dscale + whole, positions, stride, tail);
    x += positions * stride;
    dy += positions * stride;
    dscale += stride;
  }
}
