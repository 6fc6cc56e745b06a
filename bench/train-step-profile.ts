// npm run bench:train-step -- --profile [--json] [--cases a,b,c]
//
// Where a step's time goes: per kernel milliseconds, floating-point operations, bytes of its tensors, and the share of
// what this machine can do at most (peak.ts): multiply-adds for convolutions, memory traffic for everything else. Each
// call's time is its fastest of several rounds over the same paths: others on the machine only ever make it slower.

import * as tf from '@tensorflow/tfjs-core'
import { openBackend } from '../engine/backends/backends.ts'
import { createSgd, createWeights, gateStep, trainStep } from '../engine/executor/index.ts'
import { measurePeak, type Peak } from './peak.ts'
import { type BenchCase, caseSpace, drawChoices, type StepName, stepsOf } from './train-step-cases.ts'

const ROUNDS = 6
const STEPS = 4

type Row = { kernel: string; calls: number; ms: number; gflops: number; megabytes: number; shareOfPeak: number }
type Profile = { name: string; step: StepName; msPerStep: number; gflops: number; megabytes: number; kernels: Row[] }
type Call = { kernel: string; ms: number; flops: number; bytes: number }

type NamedTensors = { readonly filter?: tf.TensorInfo; readonly dy?: tf.TensorInfo }

function size(tensor: tf.TensorInfo | undefined): number {
  return tensor ? tensor.shape.reduce((product, length) => product * length, 1) : 0
}

/** A multiply-add counts two; only convolutions count, all else is additions to what memory allows. */
function convolutionFlops(inputs: NamedTensors, outputs: readonly tf.TensorInfo[], attributes: Record<string, unknown>): number {
  const { filter, dy } = inputs
  if (!filter) return 0
  const [height = 1, width = 1, inChannels = 1, multiplier = 1] = filter.shape
  const isDepthwise = multiplier === 1 && (dy ?? outputs[0])?.shape[3] === inChannels
  const perOutput = 2 * height * width * (isDepthwise ? 1 : inChannels)
  if (!dy) return perOutput * size(outputs[0])
  const passes = Number(attributes['wantInput'] === true) + Number(attributes['wantFilter'] === true)
  return passes * perOutput * size(dy)
}

function kernelLabel(name: string, { filter }: NamedTensors): string {
  const label = name.replace('Gatehouse', '')
  return filter ? `${label} ${filter.shape[0]}×${filter.shape[1]}` : label
}

/** Records every kernel that `work` runs. */
async function record(work: () => Promise<void>): Promise<Call[]> {
  const engine = tf.engine()
  const original = engine.runKernel
  const calls: Call[] = []
  engine.runKernel = function runKernel(name: string, given: tf.NamedTensorMap, attributes?: tf.NamedAttrMap) {
    const startMs = performance.now()
    const result = original.call(this, name, given, attributes)
    const ms = performance.now() - startMs
    // `concat` hands over an array, whose own `filter` is a function.
    const inputs = (Array.isArray(given) ? {} : given) as NamedTensors
    const outputs = [result].flat() as unknown as tf.TensorInfo[]
    const elements = [...(Object.values(given) as unknown as tf.TensorInfo[]), ...outputs].reduce((sum, tensor) => sum + size(tensor), 0)
    const flops = convolutionFlops(inputs, outputs, (attributes ?? {}) as Record<string, unknown>)
    calls.push({ kernel: kernelLabel(name, inputs), ms, flops, bytes: elements * Float32Array.BYTES_PER_ELEMENT })
    return result as never
  }
  try {
    await work()
  } finally {
    engine.runKernel = original
  }
  return calls
}

async function profileStep(benchCase: BenchCase, step: StepName, peak: Peak): Promise<Profile> {
  const { chosen } = await openBackend('wasm')
  const space = caseSpace(benchCase)
  const weights = createWeights(chosen, space.weightSpecs, 1)
  const optimiser = createSgd({ momentum: 0.9, nesterov: true, weightDecay: 4e-5 })
  const images = tf.randomNormal([benchCase.batch, ...space.input]) as tf.Tensor4D
  const labels = Int32Array.from({ length: benchCase.batch }, (_, index) => index % space.classes)
  const graphs = drawChoices(benchCase, space, step, STEPS).map((choices) => space.network(choices))
  const round = async () => {
    for (const graph of graphs) {
      if (step === 'weight') {
        const { gradients } = await trainStep({ graph, weights, images, labels, labelSmoothing: 0.1 })
        optimiser.apply(weights, gradients, 0.05)
      } else {
        await gateStep({ graph, weights, images, labels })
      }
    }
  }
  await round()
  await round()
  let best: Call[] = []
  let msPerStep = Number.POSITIVE_INFINITY
  for (let i = 0; i < ROUNDS; i++) {
    const startMs = performance.now()
    const calls = await record(round)
    msPerStep = Math.min(msPerStep, (performance.now() - startMs) / STEPS)
    best = i === 0 ? calls : best.map((call, index) => ({ ...call, ms: Math.min(call.ms, calls[index]?.ms ?? call.ms) }))
  }
  optimiser.clear()
  weights.dispose()
  images.dispose()
  const byKernel = new Map<string, Call[]>()
  for (const call of best) byKernel.set(call.kernel, [...(byKernel.get(call.kernel) ?? []), call])
  const kernels = [...byKernel].map(([kernel, calls]): Row => {
    const sum = (of: 'ms' | 'flops' | 'bytes') => calls.reduce((total, call) => total + call[of], 0) / STEPS
    const [ms, flops, bytes] = [sum('ms'), sum('flops'), sum('bytes')]
    const shareOfPeak = flops > 0 ? flops / (ms / 1000) / peak.flopsPerSecond : bytes / (ms / 1000) / peak.copyBytesPerSecond
    return { kernel, calls: calls.length / STEPS, ms, gflops: flops / 1e9, megabytes: bytes / 1e6, shareOfPeak }
  })
  kernels.sort((a, b) => b.ms - a.ms)
  const total = (of: 'gflops' | 'megabytes') => kernels.reduce((sum, row) => sum + row[of], 0)
  return { name: benchCase.name, step, msPerStep, gflops: total('gflops'), megabytes: total('megabytes'), kernels }
}

async function profile(cases: readonly BenchCase[]): Promise<{ peak: Peak; profiles: Profile[] }> {
  const peak = await measurePeak()
  const giga = (value: number) => (value / 1e9).toFixed(1)
  process.stderr.write(
    `peak of one core: ${giga(peak.flopsPerSecond)} GFLOP/s, reads ${giga(peak.memoryBytesPerSecond)} GB/s, copies ${giga(peak.copyBytesPerSecond)} GB/s\n`,
  )
  const profiles: Profile[] = []
  for (const benchCase of cases) {
    for (const step of stepsOf(caseSpace(benchCase))) {
      const result = await profileStep(benchCase, step, peak)
      profiles.push(result)
      const { msPerStep, gflops, megabytes, kernels } = result
      process.stderr.write(
        `\n${benchCase.name} ${step}: ${msPerStep.toFixed(1)} ms, ${gflops.toFixed(2)} GFLOP, ${megabytes.toFixed(0)} MB\n`,
      )
      for (const row of kernels.filter(({ ms }) => ms > msPerStep / 100)) {
        process.stderr.write(
          `  ${row.kernel.padEnd(26)} ${row.calls.toFixed(1).padStart(6)} calls ${row.ms.toFixed(2).padStart(8)} ms ${(row.gflops / (row.ms / 1000)).toFixed(1).padStart(6)} GFLOP/s ${(row.megabytes / row.ms).toFixed(1).padStart(6)} GB/s ${(row.shareOfPeak * 100).toFixed(0).padStart(4)} % of peak\n`,
        )
      }
    }
  }
  return { peak, profiles }
}

export { profile }
