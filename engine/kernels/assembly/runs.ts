// Channels of images in other places: runs of them cut out, put among zeros, or shuffled. What is copied for a pixel is a few dozen bytes, so
// that its own loop is faster than a call that copies memory.

import { read, write } from './normalised';
import { zeros } from './simd';

// @ts-ignore: decorator
@inline
function copyRun(from: usize, to: usize, bytes: i32): void {
  const whole = bytes & ~15;
  for (let c = 0; c < whole; c += 16) v128.store(to + c, v128.load(from + c));
  const tail = (bytes & 15) >> 2;
  if (tail) write(to + whole, read(from + whole, tail), tail);
}

// @ts-ignore: decorator
@inline
function clearRun(to: usize, bytes: i32): void {
  const whole = bytes & ~15;
  for (let c = 0; c < whole; c += 16) v128.store(to + c, zeros());
  const tail = (bytes & 15) >> 2;
  if (tail) write(to + whole, zeros(), tail);
}

/** y[rows, made]: channel i is channel i + first of x[rows, channels], 0 where it has none. */
export function shiftChannels(x: usize, y: usize, rows: i32, channels: i32, made: i32, first: i32): void {
  // Of y: zeros up to `begin`, what is copied up to `end`, zeros from there.
  const begin = max(0, min(made, -first));
  const end = max(begin, min(made, channels - first));
  const source = (begin + first) << 2;
  const head = begin << 2;
  const body = (end - begin) << 2;
  const tail = (made - end) << 2;
  for (let row = 0; row < rows; row++) {
    if (head) clearRun(y, head);
    copyRun(x + source, y + head, body);
    if (tail) clearRun(y + head + body, tail);
    x += channels << 2;
    y += made << 2;
  }
}

/** Of two halves one value in turn. */
// @ts-ignore: decorator
@inline
function interleave(x: usize, y: usize, run: i32): void {
  const other = x + (run << 2);
  let i = 0;
  for (; i + 4 <= run; i += 4) {
    const low = v128.load(x + (i << 2));
    const high = v128.load(other + (i << 2));
    v128.store(y + (i << 3), v128.shuffle<f32>(low, high, 0, 4, 1, 5));
    v128.store(y + (i << 3), v128.shuffle<f32>(low, high, 2, 6, 3, 7), 16);
  }
  for (; i < run; i++) {
    store<f32>(y + (i << 3), load<f32>(x + (i << 2)));
    store<f32>(y + (i << 3), load<f32>(other + (i << 2)), 4);
  }
}

/** Every other value to the one half, those between to the other. */
// @ts-ignore: decorator
@inline
function separate(x: usize, y: usize, half: i32): void {
  const other = y + (half << 2);
  let i = 0;
  for (; i + 4 <= half; i += 4) {
    const low = v128.load(x + (i << 3));
    const high = v128.load(x + (i << 3), 16);
    v128.store(y + (i << 2), v128.shuffle<f32>(low, high, 0, 2, 4, 6));
    v128.store(other + (i << 2), v128.shuffle<f32>(low, high, 1, 3, 5, 7));
  }
  for (; i < half; i++) {
    store<f32>(y + (i << 2), load<f32>(x + (i << 3)));
    store<f32>(other + (i << 2), load<f32>(x + (i << 3), 4));
  }
}

/** y[rows, channels]: channel i * groups + g is channel g * (channels / groups) + i of x. */
export function shuffleChannels(x: usize, y: usize, rows: i32, channels: i32, groups: i32): void {
  const run = channels / groups;
  for (let row = 0; row < rows; row++) {
    if (groups == 2) {
      interleave(x, y, run);
    } else if (run == 2) {
      separate(x, y, groups);
    } else {
      let target = y;
      for (let i = 0; i < run; i++) {
        for (let group = 0; group < groups; group++) {
          store<f32>(target, load<f32>(x + ((group * run + i) << 2)));
          target += 4;
        }
      }
    }
    x += channels << 2;
    y += channels << 2;
  }
}
