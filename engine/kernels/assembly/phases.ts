// Images taken apart into phases: those of a dilation d are the pixels whose rows and columns leave the same remainders by d, each an
// image of its own of ⌈height / d⌉ × ⌈width / d⌉, with zeros where the image has no more pixels. Phases come one after the other, those of
// the column's remainder faster, each with all images of the batch: [phase, batch, rows, columns, channels].

import { read, write } from './normalised';
import { zeros } from './simd';

// @ts-ignore: decorator
@inline
function copyPixel(from: usize, to: usize, channels: i32): void {
  const whole = (channels << 2) & ~15;
  const tail = channels & 3;
  for (let c = 0; c < whole; c += 16) v128.store(to + c, v128.load(from + c));
  if (tail) write(to + whole, read(from + whole, tail), tail);
}

// @ts-ignore: decorator
@inline
function clearPixel(to: usize, channels: i32): void {
  const whole = (channels << 2) & ~15;
  const tail = channels & 3;
  for (let c = 0; c < whole; c += 16) v128.store(to + c, zeros());
  if (tail) write(to + whole, zeros(), tail);
}

/** The first `phases` phases of x[batch, height, width, channels]. */
export function splitPhases(
  x: usize,
  y: usize,
  batch: i32,
  height: i32,
  width: i32,
  channels: i32,
  dilation: i32,
  phases: i32,
): void {
  const pixel = channels << 2;
  const rows = (height + dilation - 1) / dilation;
  const columns = (width + dilation - 1) / dilation;
  for (let phase = 0; phase < phases; phase++) {
    const top = phase / dilation;
    const left = phase - top * dilation;
    for (let image = 0; image < batch; image++) {
      for (let row = 0; row < rows; row++) {
        const from = row * dilation + top;
        let source = x + ((image * height + from) * width + left) * pixel;
        for (let column = 0; column < columns; column++) {
          if (from < height && column * dilation + left < width) copyPixel(source, y, channels);
          else clearPixel(y, channels);
          source += dilation * pixel;
          y += pixel;
        }
      }
    }
  }
}

/** x[batch, height, width, channels] of its first `phases` phases, with zeros for the others. */
export function joinPhases(
  y: usize,
  x: usize,
  batch: i32,
  height: i32,
  width: i32,
  channels: i32,
  dilation: i32,
  phases: i32,
): void {
  const pixel = channels << 2;
  const rows = (height + dilation - 1) / dilation;
  const columns = (width + dilation - 1) / dilation;
  if (phases < dilation * dilation) memory.fill(x, 0, batch * height * width * pixel);
  for (let phase = 0; phase < phases; phase++) {
    const top = phase / dilation;
    const left = phase - top * dilation;
    for (let image = 0; image < batch; image++) {
      for (let row = 0; row < rows; row++) {
        const to = row * dilation + top;
        let target = x + ((image * height + to) * width + left) * pixel;
        for (let column = 0; column < columns; column++) {
          if (to < height && column * dilation + left < width) copyPixel(y, target, channels);
          target += dilation * pixel;
          y += pixel;
        }
      }
    }
  }
}
