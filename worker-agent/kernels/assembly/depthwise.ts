// Depthwise convolution (multiplier 1) and its two gradients, NHWC, kernels 1 to 7, strides 1 and 2. Four channels of
// one image at a time are unpacked to a zero-padded plane, worked on there (planes.ts) and written back. With stride 2 a
// plane keeps even and odd columns apart, so that the inner loops only ever see stride 1:
//   y[oy, ox]   = sum_ky sum_u  plane[oy * s + ky, phase][ox + u] * filter[ky, u * s + phase]    for each column phase
//   dx[iy, ix]  = the same with dy as the plane and every s-th tap, flipped; one pass for each phase of (iy, ix)

import { correlate, sumTaps } from './planes';
import { loadLanes, storeLanes } from './simd';

// @ts-ignore: decorator
@inline
function roundUpToFour(n: i32): i32 {
  return (n + 3) & ~3;
}

/** Vectors of one column phase in a row of the input plane: 4 outputs at a time read up to `kernel` - 1 further. */
// @ts-ignore: decorator
@inline
function phaseWidth(outputs: i32, kernel: i32): i32 {
  return roundUpToFour(outputs) + kernel;
}

/** Scratch bytes that each of the three functions below needs. */
export function depthwiseScratchBytes(
  ih: i32,
  iw: i32,
  oh: i32,
  ow: i32,
  channels: i32,
  kernel: i32,
  stride: i32,
): i32 {
  const forward = (oh * stride + kernel) * stride * phaseWidth(ow, kernel);
  const backward = (oh + 2 * kernel) * (phaseWidth(ow, kernel) + 2 * kernel);
  const outputs = max(oh * roundUpToFour(ow), ih * roundUpToFour(iw));
  return 16 * (max(forward, backward) + outputs + kernel * kernel * ((channels + 3) >> 2));
}

/** Copies four channels of an image into the interior of a plane whose columns are split in `stride` phases. */
function unpackImage(
  image: usize,
  lanes: i32,
  pixel: i32,
  height: i32,
  width: i32,
  plane: usize,
  rowStride: i32,
  phaseBytes: i32,
  top: i32,
  left: i32,
  stride: i32,
): void {
  for (let y = 0; y < height; y++) {
    const row = plane + (y + top) * rowStride;
    for (let x = 0; x < width; x++) {
      const column = x + left;
      const target =
        stride == 1 ? row + (column << 4) : row + (column & 1) * phaseBytes + ((column >> 1) << 4);
      v128.store(target, lanes == 4 ? v128.load(image) : loadLanes(image, lanes));
      image += pixel;
    }
  }
}

/** Taps `first`, `first + step`, ... of each filter row, four channels, to [rows][taps] vectors. */
function unpackFilter(
  filter: usize,
  lanes: i32,
  pixel: i32,
  kernel: i32,
  firstRow: i32,
  firstColumn: i32,
  step: i32,
  rowCount: i32,
  columnCount: i32,
  flipped: bool,
  out: usize,
): void {
  for (let r = 0; r < rowCount; r++) {
    for (let t = 0; t < columnCount; t++) {
      const row = firstRow + step * (flipped ? rowCount - 1 - r : r);
      const column = firstColumn + step * (flipped ? columnCount - 1 - t : t);
      v128.store(out, loadLanes(filter + (row * kernel + column) * pixel, lanes));
      out += 16;
    }
  }
}

/** How many of the taps first, first + stride, ... are below `kernel`. */
// @ts-ignore: decorator
@inline
function tapCount(kernel: i32, first: i32, stride: i32): i32 {
  return first >= kernel ? 0 : (kernel - first + stride - 1) / stride;
}

export function depthwise(
  x: usize,
  filter: usize,
  y: usize,
  scratch: usize,
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
  const pixel = channels << 2;
  const phaseBytes = phaseWidth(ow, kernel) << 4;
  const rowStride = phaseBytes * stride;
  const planeBytes = (oh * stride + kernel) * rowStride;
  const columns = roundUpToFour(ow);
  const out = scratch + planeBytes;
  const taps = out + ((oh * columns) << 4);
  // Once: the borders stay zero, the interior is written anew each time.
  memory.fill(scratch, 0, planeBytes);
  let phaseTaps = taps;
  for (let channel = 0; channel < channels; channel += 4) {
    const lanes = min(4, channels - channel);
    for (let phase = 0; phase < stride; phase++) {
      const count = tapCount(kernel, phase, stride);
      for (let r = 0; r < kernel; r++) {
        const rowFilter = filter + (channel << 2) + r * kernel * pixel;
        unpackFilter(rowFilter, lanes, pixel, kernel, 0, phase, stride, 1, count, false, phaseTaps);
        phaseTaps += count << 4;
      }
    }
  }
  // Images outside, channels inside: an image stays in the second-level cache while its channels are taken in turn.
  for (let image = 0; image < batch; image++) {
    phaseTaps = taps;
    for (let channel = 0; channel < channels; channel += 4) {
      const lanes = min(4, channels - channel);
      const offset = channel << 2;
      const source = x + image * ih * iw * pixel + offset;
      unpackImage(source, lanes, pixel, ih, iw, scratch, rowStride, phaseBytes, top, left, stride);
      for (let phase = 0; phase < stride; phase++) {
        const count = tapCount(kernel, phase, stride);
        if (count == 0) continue;
        const plane = scratch + phase * phaseBytes;
        const outputStride = rowStride * stride;
        const filterStride = count << 4;
        correlate(count, plane, rowStride, outputStride, phaseTaps, filterStride, kernel, out, oh, columns, phase > 0);
        phaseTaps += kernel * filterStride;
      }
      const target = y + image * oh * ow * pixel + offset;
      packImage(out, columns, lanes, target, pixel, ow * pixel, oh, ow);
    }
  }
}

/** Writes a plane of results back to every `columnStride` bytes of the rows of an image. */
function packImage(
  plane: usize,
  planeColumns: i32,
  lanes: i32,
  image: usize,
  columnStride: i32,
  rowStride: i32,
  rows: i32,
  columns: i32,
): void {
  for (let y = 0; y < rows; y++) {
    let source = plane + ((y * planeColumns) << 4);
    let target = image + y * rowStride;
    for (let x = 0; x < columns; x++) {
      if (lanes == 4) v128.store(target, v128.load(source));
      else storeLanes(target, v128.load(source), lanes);
      source += 16;
      target += columnStride;
    }
  }
}

export function depthwiseInputGradient(
  dy: usize,
  filter: usize,
  dx: usize,
  scratch: usize,
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
  const pixel = channels << 2;
  const margin = kernel - 1;
  const rowStride = (phaseWidth(ow, kernel) + 2 * kernel) << 4;
  const planeBytes = (oh + 2 * kernel) * rowStride;
  const out = scratch + planeBytes;
  const taps = out + ((ih * roundUpToFour(iw)) << 4);
  memory.fill(scratch, 0, planeBytes);
  let phaseTaps = taps;
  for (let channel = 0; channel < channels; channel += 4) {
    const lanes = min(4, channels - channel);
    for (let firstRow = 0; firstRow < stride; firstRow++) {
      for (let firstColumn = 0; firstColumn < stride; firstColumn++) {
        const rowTaps = tapCount(kernel, firstRow, stride);
        const columnTaps = tapCount(kernel, firstColumn, stride);
        const source = filter + (channel << 2);
        unpackFilter(source, lanes, pixel, kernel, firstRow, firstColumn, stride, rowTaps, columnTaps, true, phaseTaps);
        phaseTaps += (rowTaps * columnTaps) << 4;
      }
    }
  }
  for (let image = 0; image < batch; image++) {
    phaseTaps = taps;
    for (let channel = 0; channel < channels; channel += 4) {
      const lanes = min(4, channels - channel);
      const offset = channel << 2;
      const source = dy + image * oh * ow * pixel + offset;
      unpackImage(source, lanes, pixel, oh, ow, scratch, rowStride, 0, margin, margin, 1);
      const target = dx + image * ih * iw * pixel + offset;
      for (let firstRow = 0; firstRow < stride; firstRow++) {
        for (let firstColumn = 0; firstColumn < stride; firstColumn++) {
          inputGradientPhase(
            scratch, rowStride, margin, lanes, pixel, kernel, stride, firstRow, firstColumn,
            top, left, ih, iw, phaseTaps, out, target,
          );
          phaseTaps += (tapCount(kernel, firstRow, stride) * tapCount(kernel, firstColumn, stride)) << 4;
        }
      }
    }
  }
}

/** All dx whose row and column taps start at (firstRow, firstColumn) and go in steps of the stride. */
function inputGradientPhase(
  plane: usize,
  rowStride: i32,
  margin: i32,
  lanes: i32,
  pixel: i32,
  kernel: i32,
  stride: i32,
  firstRow: i32,
  firstColumn: i32,
  top: i32,
  left: i32,
  ih: i32,
  iw: i32,
  taps: usize,
  out: usize,
  dx: usize,
): void {
  const rowTaps = tapCount(kernel, firstRow, stride);
  const columnTaps = tapCount(kernel, firstColumn, stride);
  const y = (firstRow - top + kernel * stride) % stride;
  const x = (firstColumn - left + kernel * stride) % stride;
  const rows = tapCount(ih, y, stride);
  const width = tapCount(iw, x, stride);
  const columns = roundUpToFour(width);
  if (rows == 0 || width == 0) return;
  if (rowTaps == 0 || columnTaps == 0) {
    memory.fill(out, 0, (rows * columns) << 4);
  } else {
    const startRow = (y + top - firstRow) / stride - (rowTaps - 1) + margin;
    const startColumn = (x + left - firstColumn) / stride - (columnTaps - 1) + margin;
    const start = plane + startRow * rowStride + (startColumn << 4);
    correlate(columnTaps, start, rowStride, rowStride, taps, columnTaps << 4, rowTaps, out, rows, columns, false);
  }
  const target = dx + (y * iw + x) * pixel;
  packImage(out, columns, lanes, target, pixel * stride, iw * pixel * stride, rows, width);
}

export function depthwiseFilterGradient(
  x: usize,
  dy: usize,
  dfilter: usize,
  scratch: usize,
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
  const pixel = channels << 2;
  const phaseBytes = phaseWidth(ow, kernel) << 4;
  const rowStride = phaseBytes * stride;
  const planeBytes = (oh * stride + kernel) * rowStride;
  const columns = roundUpToFour(ow);
  const dyPlane = scratch + planeBytes;
  const dyRow = columns << 4;
  const sums = dyPlane + oh * dyRow;
  memory.fill(scratch, 0, planeBytes + oh * dyRow);
  memory.fill(sums, 0, (kernel * kernel * ((channels + 3) >> 2)) << 4);
  for (let image = 0; image < batch; image++) {
    let target = sums;
    for (let channel = 0; channel < channels; channel += 4) {
      const lanes = min(4, channels - channel);
      const offset = channel << 2;
      const source = x + image * ih * iw * pixel + offset;
      unpackImage(source, lanes, pixel, ih, iw, scratch, rowStride, phaseBytes, top, left, stride);
      unpackImage(dy + image * oh * ow * pixel + offset, lanes, pixel, oh, ow, dyPlane, dyRow, 0, 0, 0, 1);
      for (let ky = 0; ky < kernel; ky++) {
        for (let phase = 0; phase < stride; phase++) {
          const count = tapCount(kernel, phase, stride);
          if (count == 0) continue;
          const plane = scratch + ky * rowStride + phase * phaseBytes;
          sumTaps(count, plane, rowStride * stride, dyPlane, oh, columns, target);
          target += count << 4;
        }
      }
    }
  }
  let source = sums;
  for (let channel = 0; channel < channels; channel += 4) {
    const lanes = min(4, channels - channel);
    const target = dfilter + (channel << 2);
    for (let ky = 0; ky < kernel; ky++) {
      for (let phase = 0; phase < stride; phase++) {
        for (let kx = phase; kx < kernel; kx += stride) {
          storeLanes(target + (ky * kernel + kx) * pixel, v128.load(source), lanes);
          source += 16;
        }
      }
    }
  }
}
