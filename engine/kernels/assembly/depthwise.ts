// Depthwise convolution (multiplier 1) and its two gradients, NHWC, kernels 1 to 7, any stride. Four channels of
// one image at a time are unpacked to a zero-padded plane, worked on there (planes.ts) and written back. With stride s a
// plane keeps the columns of each remainder by s apart, so that the inner loops only ever see stride 1:
//   y[oy, ox]   = sum_ky sum_u  plane[oy * s + ky, phase][ox + u] * filter[ky, u * s + phase]    for each column phase
//   dx[iy, ix]  = the same with dy as the plane and every s-th tap, flipped; one pass for each phase of (iy, ix)

// A batch-norm in front of the convolution or behind it is taken over as planes are unpacked and packed; `norm`,
// `coefficients`, `moments` and `sums` are as in convolution.ts.

import { addPlane, clearMoments, endPlanes } from './moments';
import { addTo, clamp, limitOf, read, throughClamp, write } from './normalised';
import { correlate, sumTaps } from './planes';
import { loadLanes, madd, storeLanes, zeros } from './simd';

/** Vectors of one column phase in a row of the input plane: outputs read up to `kernel` - 1 further. */
// @ts-ignore: decorator
@inline
function phaseWidth(outputs: i32, kernel: i32): i32 {
  return outputs + kernel;
}

/** Scratch bytes that each of the two functions below needs. */
export function depthwiseScratchBytes(
  ih: i32,
  iw: i32,
  oh: i32,
  ow: i32,
  channels: i32,
  kernel: i32,
  stride: i32,
): i32 {
  const input = (oh * stride + kernel) * stride * phaseWidth(ow, kernel);
  const gradient = (oh + 2 * kernel) * (phaseWidth(ow, kernel) + 2 * kernel);
  const outputs = max(oh * ow, ih * iw);
  return 16 * (input + gradient + outputs + 2 * kernel * kernel * ((channels + 3) >> 2));
}

/** Where the vector of a column goes: columns are split in `stride` phases. */
// @ts-ignore: decorator
@inline
function columnOffset(column: i32, stride: i32, phaseBytes: i32): i32 {
  if (stride == 1) return column << 4;
  if (stride == 2) return (column & 1) * phaseBytes + ((column >> 1) << 4);
  const place = column / stride;
  return (column - place * stride) * phaseBytes + (place << 4);
}

/** Copies four channels of an image into the interior of a plane. */
// @ts-ignore: decorator
@inline
function unpackPlain(
  lanes: i32,
  image: usize,
  pixel: i32,
  height: i32,
  width: i32,
  plane: usize,
  rowStride: i32,
  phaseBytes: i32,
  left: i32,
  stride: i32,
): void {
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      v128.store(plane + columnOffset(x + left, stride, phaseBytes), read(image, lanes));
      image += pixel;
    }
    plane += rowStride;
  }
}

// @ts-ignore: decorator
@inline
function unpackNormalised(
  lanes: i32,
  image: usize,
  norm: usize,
  activation: i32,
  pixel: i32,
  height: i32,
  width: i32,
  plane: usize,
  rowStride: i32,
  phaseBytes: i32,
  left: i32,
  stride: i32,
): void {
  const centre = read(norm, lanes);
  const scale = read(norm + pixel, lanes);
  const offset = read(norm + 2 * pixel, lanes);
  const limit = limitOf(activation);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const z = madd(f32x4.sub(read(image, lanes), centre), scale, offset);
      v128.store(plane + columnOffset(x + left, stride, phaseBytes), activation ? clamp(z, limit) : z);
      image += pixel;
    }
    plane += rowStride;
  }
}

/** An image, or with `norm` its normalised values; `plane` is the row where the image starts. */
function unpackImage(
  image: usize,
  norm: usize,
  activation: i32,
  lanes: i32,
  pixel: i32,
  height: i32,
  width: i32,
  plane: usize,
  rowStride: i32,
  phaseBytes: i32,
  left: i32,
  stride: i32,
): void {
  if (norm && lanes == 4) {
    if (stride == 1) unpackNormalised(4, image, norm, activation, pixel, height, width, plane, rowStride, phaseBytes, left, 1);
    else if (stride == 2) unpackNormalised(4, image, norm, activation, pixel, height, width, plane, rowStride, phaseBytes, left, 2);
    else unpackNormalised(4, image, norm, activation, pixel, height, width, plane, rowStride, phaseBytes, left, stride);
  } else if (norm) {
    unpackNormalised(lanes, image, norm, activation, pixel, height, width, plane, rowStride, phaseBytes, left, stride);
  } else if (lanes == 4) {
    if (stride == 1) unpackPlain(4, image, pixel, height, width, plane, rowStride, phaseBytes, left, 1);
    else if (stride == 2) unpackPlain(4, image, pixel, height, width, plane, rowStride, phaseBytes, left, 2);
    else unpackPlain(4, image, pixel, height, width, plane, rowStride, phaseBytes, left, stride);
  } else {
    unpackPlain(lanes, image, pixel, height, width, plane, rowStride, phaseBytes, left, stride);
  }
}

// @ts-ignore: decorator
@inline
function unpackGradientWith(
  lanes: i32,
  y: usize,
  dy: usize,
  coefficients: usize,
  activation: i32,
  pixel: i32,
  height: i32,
  width: i32,
  plane: usize,
  rowStride: i32,
): void {
  const centre = read(coefficients, lanes);
  const scale = read(coefficients + pixel, lanes);
  const offset = read(coefficients + 2 * pixel, lanes);
  const meanSum = read(coefficients + 3 * pixel, lanes);
  const slope = read(coefficients + 4 * pixel, lanes);
  const limit = limitOf(activation);
  for (let row = 0; row < height; row++) {
    let target = plane;
    for (let x = 0; x < width; x++) {
      const d = f32x4.sub(read(y, lanes), centre);
      let dz = read(dy, lanes);
      if (activation) dz = throughClamp(dz, madd(d, scale, offset), limit);
      const centred = f32x4.sub(f32x4.sub(dz, meanSum), f32x4.mul(d, slope));
      v128.store(target, f32x4.mul(centred, scale));
      target += 16;
      y += pixel;
      dy += pixel;
    }
    plane += rowStride;
  }
}

/** dy, or with `coefficients` the gradient before y's batch-norm. */
function unpackGradient(
  y: usize,
  dy: usize,
  coefficients: usize,
  activation: i32,
  lanes: i32,
  pixel: i32,
  height: i32,
  width: i32,
  plane: usize,
  rowStride: i32,
): void {
  if (!coefficients) unpackImage(dy, 0, 0, lanes, pixel, height, width, plane, rowStride, 0, 0, 1);
  else if (lanes == 4) unpackGradientWith(4, y, dy, coefficients, activation, pixel, height, width, plane, rowStride);
  else unpackGradientWith(lanes, y, dy, coefficients, activation, pixel, height, width, plane, rowStride);
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
      write(target, v128.load(source), lanes);
      source += 16;
      target += columnStride;
    }
  }
}

/** Adds the sums of a batch-norm's gradient: of dz and dz * (x - mean), with dy in a plane and x in an image. */
// @ts-ignore: decorator
@inline
function sumPlaneGradientWith(
  lanes: i32,
  clamps: bool,
  limit: v128,
  plane: usize,
  planeColumns: i32,
  norm: usize,
  sums: usize,
  pixel: i32,
  image: usize,
  columnStride: i32,
  rowStride: i32,
  rows: i32,
  columns: i32,
): void {
  const centre = loadLanes(norm, lanes);
  const scale = loadLanes(norm + pixel, lanes);
  const offset = loadLanes(norm + 2 * pixel, lanes);
  let sum = zeros();
  let weighted = zeros();
  let oddSum = zeros();
  let oddWeighted = zeros();
  for (let y = 0; y < rows; y++) {
    let source = plane + ((y * planeColumns) << 4);
    let x = image + y * rowStride;
    let left = columns;
    for (; left >= 2; left -= 2) {
      const d = f32x4.sub(read(x, lanes), centre);
      const odd = f32x4.sub(read(x + columnStride, lanes), centre);
      let dz = v128.load(source);
      let oddDz = v128.load(source, 16);
      if (clamps) {
        dz = throughClamp(dz, madd(d, scale, offset), limit);
        oddDz = throughClamp(oddDz, madd(odd, scale, offset), limit);
      }
      sum = f32x4.add(sum, dz);
      weighted = madd(dz, d, weighted);
      oddSum = f32x4.add(oddSum, oddDz);
      oddWeighted = madd(oddDz, odd, oddWeighted);
      source += 32;
      x += 2 * columnStride;
    }
    if (left) {
      const d = f32x4.sub(read(x, lanes), centre);
      let dz = v128.load(source);
      if (clamps) dz = throughClamp(dz, madd(d, scale, offset), limit);
      sum = f32x4.add(sum, dz);
      weighted = madd(dz, d, weighted);
    }
  }
  addTo(sums, f32x4.add(sum, oddSum), lanes);
  addTo(sums + pixel, f32x4.add(weighted, oddWeighted), lanes);
}

function sumPlaneGradient(
  plane: usize,
  planeColumns: i32,
  norm: usize,
  activation: i32,
  sums: usize,
  lanes: i32,
  pixel: i32,
  image: usize,
  columnStride: i32,
  rowStride: i32,
  rows: i32,
  columns: i32,
): void {
  if (lanes < 4) {
    sumPlaneGradientWith(
      lanes, activation != 0, limitOf(activation), plane, planeColumns, norm, sums, pixel, image, columnStride, rowStride, rows, columns,
    );
  } else if (activation) {
    const limit = limitOf(activation);
    sumPlaneGradientWith(4, true, limit, plane, planeColumns, norm, sums, pixel, image, columnStride, rowStride, rows, columns);
  } else {
    sumPlaneGradientWith(4, false, zeros(), plane, planeColumns, norm, sums, pixel, image, columnStride, rowStride, rows, columns);
  }
}

export function depthwise(
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
  const out = scratch + planeBytes;
  const taps = out + ((oh * ow) << 4);
  if (moments) clearMoments(moments, channels);
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
      const start = scratch + top * rowStride;
      const channelNorm = norm ? norm + offset : 0;
      unpackImage(source, channelNorm, activation, lanes, pixel, ih, iw, start, rowStride, phaseBytes, left, stride);
      for (let phase = 0; phase < stride; phase++) {
        const count = tapCount(kernel, phase, stride);
        if (count == 0) continue;
        const plane = scratch + phase * phaseBytes;
        const outputStride = rowStride * stride;
        const filterStride = count << 4;
        correlate(count, plane, rowStride, outputStride, phaseTaps, filterStride, kernel, out, oh, ow, phase > 0);
        phaseTaps += kernel * filterStride;
      }
      const target = y + image * oh * ow * pixel + offset;
      if (lanes == 4) packImage(out, ow, 4, target, pixel, ow * pixel, oh, ow);
      else packImage(out, ow, lanes, target, pixel, ow * pixel, oh, ow);
      if (moments) addPlane(out, moments, channels, channel, lanes, oh * ow);
    }
    if (moments) endPlanes(moments, channels, oh * ow);
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
  x: usize,
  norm: usize,
  activation: i32,
  sums: usize,
): void {
  const rowTaps = tapCount(kernel, firstRow, stride);
  const columnTaps = tapCount(kernel, firstColumn, stride);
  const startY = (firstRow - top + kernel * stride) % stride;
  const startX = (firstColumn - left + kernel * stride) % stride;
  const rows = tapCount(ih, startY, stride);
  const width = tapCount(iw, startX, stride);
  if (rows == 0 || width == 0) return;
  if (rowTaps == 0 || columnTaps == 0) {
    memory.fill(out, 0, (rows * width) << 4);
  } else {
    const startRow = (startY + top - firstRow) / stride - (rowTaps - 1) + margin;
    const startColumn = (startX + left - firstColumn) / stride - (columnTaps - 1) + margin;
    const start = plane + startRow * rowStride + (startColumn << 4);
    correlate(columnTaps, start, rowStride, rowStride, taps, columnTaps << 4, rowTaps, out, rows, width, false);
  }
  const at = (startY * iw + startX) * pixel;
  const columnStride = pixel * stride;
  const imageStride = iw * columnStride;
  if (lanes == 4) packImage(out, width, 4, dx + at, columnStride, imageStride, rows, width);
  else packImage(out, width, lanes, dx + at, columnStride, imageStride, rows, width);
  if (sums) {
    sumPlaneGradient(out, width, norm, activation, sums, lanes, pixel, x + at, columnStride, imageStride, rows, width);
  }
}

/** dfilter[kernel, kernel, channels] and dx[batch, ih, iw, channels], either of them if its pointer is not 0. */
export function depthwiseGradient(
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
  const phaseBytes = phaseWidth(ow, kernel) << 4;
  const rowStride = phaseBytes * stride;
  const planeBytes = (oh * stride + kernel) * rowStride;
  const gradientStride = (phaseWidth(ow, kernel) + 2 * kernel) << 4;
  const gradientBytes = (oh + 2 * kernel) * gradientStride;
  const gradient = scratch + planeBytes;
  const interior = gradient + margin * gradientStride + (margin << 4);
  const out = gradient + gradientBytes;
  const taps = out + ((ih * iw) << 4);
  const tapSums = taps + ((kernel * kernel * ((channels + 3) >> 2)) << 4);
  // Once: the borders stay zero, the interiors are written anew each time.
  memory.fill(scratch, 0, planeBytes + gradientBytes);
  if (sums) memory.fill(sums, 0, 2 * pixel);
  if (dfilter) memory.fill(tapSums, 0, (kernel * kernel * ((channels + 3) >> 2)) << 4);
  let phaseTaps = taps;
  if (dx) {
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
  }
  for (let image = 0; image < batch; image++) {
    phaseTaps = taps;
    let target = tapSums;
    for (let channel = 0; channel < channels; channel += 4) {
      const lanes = min(4, channels - channel);
      const offset = channel << 2;
      const inputAt = image * ih * iw * pixel + offset;
      const outputAt = image * oh * ow * pixel + offset;
      const channelNorm = norm ? norm + offset : 0;
      const own = coefficients ? coefficients + offset : 0;
      unpackGradient(y + outputAt, dy + outputAt, own, yActivation, lanes, pixel, oh, ow, interior, gradientStride);
      if (dfilter) {
        const start = scratch + top * rowStride;
        unpackImage(x + inputAt, channelNorm, activation, lanes, pixel, ih, iw, start, rowStride, phaseBytes, left, stride);
        sumTaps(scratch, rowStride, phaseBytes, interior, gradientStride, oh, ow, kernel, stride, target);
        target += (kernel * kernel) << 4;
      }
      if (!dx) continue;
      for (let firstRow = 0; firstRow < stride; firstRow++) {
        for (let firstColumn = 0; firstColumn < stride; firstColumn++) {
          inputGradientPhase(
            gradient, gradientStride, margin, lanes, pixel, kernel, stride, firstRow, firstColumn, top, left, ih, iw,
            phaseTaps, out, dx + inputAt, x + inputAt, channelNorm, activation, sums ? sums + offset : 0,
          );
          phaseTaps += (tapCount(kernel, firstRow, stride) * tapCount(kernel, firstColumn, stride)) << 4;
        }
      }
    }
  }
  if (!dfilter) return;
  let source = tapSums;
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
