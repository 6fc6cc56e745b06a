// What one core of this machine can do at most inside WebAssembly: multiply-adds per second with all operands in
// registers, and bytes per second read from memory and from the caches. bench:train-step's profile divides by these.

import asc from 'assemblyscript/asc'

const ACCUMULATORS = 12
const MEBIBYTE = 1024 * 1024
const REPEATS = 25
const PAGE_BYTES = 65_536

/** AssemblyScript; see engine/kernels/assembly/simd.ts for `madd`. */
function source(): string {
  const names = Array.from({ length: ACCUMULATORS }, (_, index) => `s${index}`)
  const total = names.reduce((sum, name) => `f32x4.add(${sum}, ${name})`)
  return `
    export function multiplyAdds(count: i32): f32 {
      const x = f32x4.splat(0.999999), y = f32x4.splat(0.000001);
      ${names.map((name, index) => `let ${name} = f32x4.splat(${index});`).join('\n')}
      for (let i = 0; i < count; i++) {
        ${names.map((name) => `${name} = ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(${name}, x, y) : f32x4.add(f32x4.mul(${name}, x), y);`).join('\n')}
      }
      return f32x4.extract_lane(${total}, 0);
    }
    export function read(from: usize, bytes: i32): f32 {
      let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
      for (let i = 0; i < bytes; i += 64) {
        a = f32x4.add(a, v128.load(from + i));
        b = f32x4.add(b, v128.load(from + i, 16));
        c = f32x4.add(c, v128.load(from + i, 32));
        d = f32x4.add(d, v128.load(from + i, 48));
      }
      return f32x4.extract_lane(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), 0);
    }
    export function copy(from: usize, to: usize, bytes: i32): void {
      for (let i = 0; i < bytes; i += 32) {
        v128.store(to + i, v128.load(from + i));
        v128.store(to + i, v128.load(from + i, 16), 16);
      }
    }`
}

type PeakModule = {
  multiplyAdds(count: number): number
  read(from: number, bytes: number): number
  copy(from: number, to: number, bytes: number): void
}

type Peak = {
  /** Floating-point operations per second, a multiply-add counting two. */
  readonly flopsPerSecond: number
  /** Reading 128 MiB. */
  readonly memoryBytesPerSecond: number
  /** Reading 4 MiB again and again. */
  readonly cacheBytesPerSecond: number
  /** Copying 64 MiB, bytes read and written. */
  readonly copyBytesPerSecond: number
}

async function compile(): Promise<PeakModule> {
  const options = { optimizeLevel: 3, noAssert: true, runtime: 'stub', importMemory: true, enable: ['simd', 'relaxed-simd'] }
  const { binary, stderr } = await asc.compileString(source(), options)
  if (!binary) throw new Error(`the peak kernels do not compile: ${stderr.toString()}`)
  const memory = new WebAssembly.Memory({ initial: (192 * MEBIBYTE) / PAGE_BYTES })
  const { instance } = await WebAssembly.instantiate(new Uint8Array(binary), { env: { memory } })
  return instance.exports as unknown as PeakModule
}

/** Seconds of the fastest of some runs: a shared machine only ever makes them slower. */
function fastest(work: () => void): number {
  let best = Number.POSITIVE_INFINITY
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const startMs = performance.now()
    work()
    best = Math.min(best, (performance.now() - startMs) / 1000)
  }
  return best
}

async function measurePeak(): Promise<Peak> {
  const { multiplyAdds, read, copy } = await compile()
  const count = 4_000_000
  multiplyAdds(1_000_000)
  const LANES = 4
  const flops = count * ACCUMULATORS * LANES * 2
  const large = 128 * MEBIBYTE
  const small = 4 * MEBIBYTE
  const turns = 32
  const half = 64 * MEBIBYTE
  return {
    flopsPerSecond: flops / fastest(() => multiplyAdds(count)),
    memoryBytesPerSecond: large / fastest(() => read(0, large)),
    cacheBytesPerSecond:
      (small * turns) /
      fastest(() => {
        for (let turn = 0; turn < turns; turn++) read(0, small)
      }),
    copyBytesPerSecond: (2 * half) / fastest(() => copy(0, half, half)),
  }
}

export { measurePeak, type Peak }
