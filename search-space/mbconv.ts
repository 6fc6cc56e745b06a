// The parametric MBConv space: a stem, blocks that each choose one MBConv (expansion × kernel) or Zero, a head.
// MBConv = 1×1 expand, BN, ReLU6, depthwise k×k, BN, ReLU6, 1×1 project, BN; no expand layers at ratio 1; the input is
// added where stride is 1 and the channels match (Sandler et al. 2018, section 3.3). Candidate operations share
// nothing; a fixed part has the single operation name `conv`.

import { latencyKey, type LatencyOperation } from './latency-key.ts'
import type { Layer, LayerGraph, MixedLayer, PrimitiveLayer, Shape, WeightSpec } from './layer-graph.ts'
import { totalCosts } from './layer-costs.ts'
import { MAX_BLOCKS, MAX_OPERATIONS, type MbconvConfig } from './mbconv-config.ts'
import { type Block, type Choice, type MeasurableOperation, type Operation, type Space, SpaceError } from './space.ts'

const WIDTH_DIVISOR = 8
const STEM_KERNEL = 3
/** Rounding may take away at most this share of a width (MobileNetV2's authors' rule). */
const MIN_WIDTH_SHARE = 0.9

type MbconvChoice = { readonly name: string; readonly expansion: number; readonly kernel: number } | { readonly name: 'zero' }

type Place = {
  readonly name: string
  readonly input: Shape
  readonly output: Shape
  readonly stride: number
  readonly shortcut: boolean
  readonly candidates: readonly MbconvChoice[]
}

/** Width times multiplier, to the nearest multiple of 8, never below 8 nor more than a tenth smaller than asked. */
function scaleWidth(width: number, widthMult: number): number {
  if (widthMult === 1) return width
  const exact = width * widthMult
  const rounded = Math.max(WIDTH_DIVISOR, Math.floor((exact + WIDTH_DIVISOR / 2) / WIDTH_DIVISOR) * WIDTH_DIVISOR)
  return rounded < MIN_WIDTH_SHARE * exact ? rounded + WIDTH_DIVISOR : rounded
}

function convolve(shape: Shape, stride: number, channels: number): Shape {
  return [Math.ceil(shape[0] / stride), Math.ceil(shape[1] / stride), channels]
}

/** Collects layers and the weights that they name. */
class LayerWriter {
  readonly layers: PrimitiveLayer[] = []
  readonly weightSpecs: WeightSpec[] = []
  readonly #epsilon: number

  constructor(epsilon: number) {
    this.#epsilon = epsilon
  }

  convNorm(prefix: string, part: string, input: string, from: Shape, kernel: number, stride: number, channels: number, relu: boolean) {
    const shape = convolve(from, stride, channels)
    const filter = `${prefix}/${part}.filter`
    this.weightSpecs.push({
      key: filter,
      shape: [kernel, kernel, from[2], channels],
      initialiser: { kind: 'he-normal-fan-out', fanOut: kernel * kernel * channels },
      decay: true,
    })
    this.layers.push({ kind: 'conv2d', id: `${prefix}/${part}`, input, kernel, stride, filter, shape })
    return { id: this.#norm(prefix, part, shape, relu), shape }
  }

  depthwiseNorm(prefix: string, part: string, input: string, from: Shape, kernel: number, stride: number) {
    const shape = convolve(from, stride, from[2])
    const filter = `${prefix}/${part}.filter`
    this.weightSpecs.push({
      key: filter,
      shape: [kernel, kernel, from[2], 1],
      initialiser: { kind: 'he-normal-fan-out', fanOut: kernel * kernel * from[2] },
      decay: true,
    })
    this.layers.push({ kind: 'depthwiseConv2d', id: `${prefix}/${part}`, input, kernel, stride, filter, shape })
    return { id: this.#norm(prefix, part, shape, true), shape }
  }

  #norm(prefix: string, part: string, shape: Shape, relu: boolean): string {
    const gamma = `${prefix}/${part}.gamma`
    const beta = `${prefix}/${part}.beta`
    const size = [shape[2]]
    this.weightSpecs.push({ key: gamma, shape: size, initialiser: { kind: 'ones' }, decay: false })
    this.weightSpecs.push({ key: beta, shape: size, initialiser: { kind: 'zeros' }, decay: false })
    const id = `${prefix}/${part}.norm`
    this.layers.push({ kind: 'batchNorm', id, input: `${prefix}/${part}`, gamma, beta, epsilon: this.#epsilon, shape })
    if (!relu) return id
    this.layers.push({ kind: 'relu6', id: `${prefix}/${part}.relu`, input: id, shape })
    return `${prefix}/${part}.relu`
  }
}

type Written = {
  readonly layers: readonly PrimitiveLayer[]
  readonly weightSpecs: readonly WeightSpec[]
  readonly output: string
  readonly shape: Shape
}

function writeMbconv(
  prefix: string,
  input: string,
  from: Shape,
  settings: { expansion: number; kernel: number; stride: number; channels: number },
  epsilon: number,
): Written {
  const writer = new LayerWriter(epsilon)
  let last = { id: input, shape: from }
  if (settings.expansion > 1) {
    last = writer.convNorm(prefix, 'expand', last.id, last.shape, 1, 1, from[2] * settings.expansion, true)
  }
  last = writer.depthwiseNorm(prefix, 'depthwise', last.id, last.shape, settings.kernel, settings.stride)
  last = writer.convNorm(prefix, 'project', last.id, last.shape, 1, 1, settings.channels, false)
  return { layers: writer.layers, weightSpecs: writer.weightSpecs, output: last.id, shape: last.shape }
}

function writeConvNorm(
  prefix: string,
  input: string,
  from: Shape,
  kernel: number,
  stride: number,
  channels: number,
  epsilon: number,
): Written {
  const writer = new LayerWriter(epsilon)
  const last = writer.convNorm(prefix, 'conv', input, from, kernel, stride, channels, true)
  return { layers: writer.layers, weightSpecs: writer.weightSpecs, output: last.id, shape: last.shape }
}

function writeClassifier(prefix: string, input: string, from: Shape, classes: number): Written {
  const weights = `${prefix}/linear.weights`
  const bias = `${prefix}/linear.bias`
  const shape: Shape = [1, 1, classes]
  const pool = `${prefix}/pool`
  const linear = `${prefix}/linear`
  return {
    layers: [
      { kind: 'globalAveragePool', id: pool, input, shape: [1, 1, from[2]] },
      { kind: 'linear', id: linear, input: pool, weights, bias, shape },
    ],
    weightSpecs: [
      { key: weights, shape: [from[2], classes], initialiser: { kind: 'uniform-fan-in', fanIn: from[2] }, decay: true },
      { key: bias, shape: [classes], initialiser: { kind: 'zeros' }, decay: false },
    ],
    output: linear,
    shape,
  }
}

function planBlocks(config: MbconvConfig, from: Shape): Place[] {
  const places: Place[] = []
  let input = from
  for (const [stageIndex, stage] of config.stages.entries()) {
    const channels = scaleWidth(stage.width, config.widthMult)
    for (let cell = 0; cell < stage.cells; cell++) {
      const stride = cell === 0 ? stage.stride : 1
      const output = convolve(input, stride, channels)
      const shortcut = stride === 1 && input[2] === channels
      const candidates: MbconvChoice[] = config.expansions.flatMap((expansion) =>
        config.kernels.map((kernel) => ({ name: `mb${expansion}k${kernel}`, expansion, kernel })),
      )
      if (config.zero && shortcut) candidates.push({ name: 'zero' })
      places.push({ name: `stage${stageIndex + 1}.${cell + 1}`, input, output, stride, shortcut, candidates })
      input = output
    }
  }
  return places
}

/** The space that these settings stand for. Throws SpaceError `config` where they contradict each other. */
function createMbconvSpace(config: MbconvConfig): Space {
  const epsilon = config.batchNormEpsilon
  for (const name of ['kernels', 'expansions'] as const) {
    if (new Set<number>(config[name]).size !== config[name].length) {
      throw new SpaceError('config', `space.${name}`, `expected different ${name}, got ${config[name].join(', ')}`)
    }
  }

  const blockCount = config.stages.reduce((sum, stage) => sum + stage.cells, 0)
  if (blockCount > MAX_BLOCKS) throw new SpaceError('config', 'space.stages', `expected at most ${MAX_BLOCKS} blocks, got ${blockCount}`)
  const operationCount = blockCount * config.kernels.length * config.expansions.length
  if (operationCount > MAX_OPERATIONS) {
    throw new SpaceError('config', 'space', `expected at most ${MAX_OPERATIONS} operations over all blocks, got ${operationCount}`)
  }

  const head: Written[] = []
  const fixed: { name: string; written: Written; from: Shape; operation: LatencyOperation; shortcut: boolean }[] = []
  const stem = writeConvNorm(
    'stem/conv',
    'input',
    config.input,
    STEM_KERNEL,
    config.stem.stride,
    scaleWidth(config.stem.width, config.widthMult),
    epsilon,
  )
  fixed.push({
    name: 'stem',
    written: stem,
    from: config.input,
    operation: { type: 'Conv', input: config.input, output: stem.shape },
    shortcut: false,
  })
  head.push(stem)
  let last = stem
  if (config.firstBlock) {
    const { kernel, width } = config.firstBlock
    const from = last.shape
    const channels = scaleWidth(width, config.widthMult)
    last = writeMbconv('first/conv', last.output, from, { expansion: 1, kernel, stride: 1, channels }, epsilon)
    const operation: LatencyOperation = {
      type: 'expanded_conv',
      input: from,
      output: last.shape,
      expand: 1,
      kernel,
      stride: 1,
      shortcut: false,
    }
    fixed.push({ name: 'first', written: last, from, operation, shortcut: false })
    head.push(last)
  }

  const places = planBlocks(config, last.shape)
  const bodyInput = last
  const bodyShape = places.at(-1)?.output ?? last.shape

  const tail: Written[] = []
  const writeTail = (input: string): Written[] => {
    const written: Written[] = []
    let end = { output: input, shape: bodyShape }
    if (config.headWidth !== null) {
      const conv = writeConvNorm('head/conv', end.output, end.shape, 1, 1, scaleHead(config), epsilon)
      written.push(conv)
      end = conv
    }
    written.push(writeClassifier('classifier/conv', end.output, end.shape, config.classes))
    return written
  }
  tail.push(...writeTail('body'))
  const headConv = tail.length === 2 ? tail[0] : undefined
  const classifier = tail.at(-1) as Written
  if (headConv) {
    fixed.push({
      name: 'head',
      written: headConv,
      from: bodyShape,
      operation: { type: 'Conv_1', input: bodyShape, output: headConv.shape },
      shortcut: false,
    })
  }
  const pooled = headConv?.shape ?? bodyShape
  fixed.push({
    name: 'classifier',
    written: classifier,
    from: pooled,
    operation: { type: 'Logits', input: pooled, classes: config.classes },
    shortcut: false,
  })

  const writeCandidate = (place: Place, candidate: MbconvChoice, input: string): Written => {
    if (!('kernel' in candidate)) {
      const id = `${place.name}/zero/zero`
      return { layers: [{ kind: 'zero', id, input, shape: place.output }], weightSpecs: [], output: id, shape: place.output }
    }
    const settings = { expansion: candidate.expansion, kernel: candidate.kernel, stride: place.stride, channels: place.output[2] }
    return writeMbconv(`${place.name}/${candidate.name}`, input, place.input, settings, epsilon)
  }

  const candidateKey = (place: Place, candidate: MbconvChoice): string | null =>
    'kernel' in candidate
      ? latencyKey({
          type: 'expanded_conv',
          input: place.input,
          output: place.output,
          expand: candidate.expansion,
          kernel: candidate.kernel,
          stride: place.stride,
          shortcut: place.shortcut,
        })
      : null

  const blocks: Block[] = places.map((place) => ({
    name: place.name,
    input: place.input,
    output: place.output,
    shortcut: place.shortcut,
    operations: place.candidates.map((candidate): Operation => {
      const outer = new Map<string, Shape>([['input', place.input]])
      return {
        name: candidate.name,
        isZero: candidate.name === 'zero',
        latencyKey: candidateKey(place, candidate),
        ...totalCosts(writeCandidate(place, candidate, 'input').layers, outer),
      }
    }),
  }))

  const weightSpecs = [
    ...head.flatMap((part) => part.weightSpecs),
    ...places.flatMap((place) => place.candidates.flatMap((candidate) => writeCandidate(place, candidate, 'input').weightSpecs)),
    ...tail.flatMap((part) => part.weightSpecs),
  ]

  const network = (choices: readonly Choice[]): LayerGraph => {
    if (choices.length !== places.length) {
      throw new SpaceError('choices', 'choices', `expected ${places.length} choices, one per block, got ${choices.length}`)
    }
    const layers: Layer[] = [{ kind: 'input', id: 'input', shape: config.input }, ...head.flatMap((part) => part.layers)]
    let input = bodyInput.output
    for (const [block, place] of places.entries()) {
      const choice = choices[block] as Choice
      const candidateAt = (operation: number): MbconvChoice => {
        const candidate = place.candidates[operation]
        if (!candidate) {
          throw new SpaceError(
            'choices',
            `choices[${block}]`,
            `expected an operation from 0 to ${place.candidates.length - 1} of block ${place.name}, got ${operation}`,
          )
        }
        return candidate
      }
      const active = typeof choice === 'number' ? choice : choice.active
      // Zero with a shortcut is the identity, so the block is left out; as the active branch it takes no update (docs/architecture.md).
      if (candidateAt(active).name === 'zero') continue
      let output: string
      if (typeof choice === 'number' || choice.inactive.length === 0) {
        const written = writeCandidate(place, candidateAt(active), input)
        layers.push(...written.layers)
        output = written.output
      } else {
        const mixedInput = input
        const mixed: MixedLayer = {
          kind: 'mixed',
          id: `${place.name}/mixed`,
          input: mixedInput,
          block,
          active: 0,
          branches: [active, ...choice.inactive].map((operation) => {
            const written = writeCandidate(place, candidateAt(operation), mixedInput)
            return { operation, layers: written.layers, output: written.output }
          }),
          shape: place.output,
        }
        layers.push(mixed)
        output = mixed.id
      }
      if (place.shortcut) {
        layers.push({ kind: 'add', id: `${place.name}/add`, inputs: [output, input], shape: place.output })
        output = `${place.name}/add`
      }
      input = output
    }
    layers.push(...writeTail(input).flatMap((part) => part.layers))
    return { layers }
  }

  const measurableOperations = (): MeasurableOperation[] => {
    const byKey = new Map<string, MeasurableOperation>()
    const add = (key: string, from: Shape, written: Written, shortcut: boolean) => {
      if (byKey.has(key)) return
      const layers: PrimitiveLayer[] = [{ kind: 'input', id: 'input', shape: from }, ...written.layers]
      if (shortcut) layers.push({ kind: 'add', id: 'shortcut', inputs: [written.output, 'input'], shape: written.shape })
      byKey.set(key, { latencyKey: key, graph: { layers }, ...totalCosts(layers) })
    }
    for (const part of fixed) add(latencyKey(part.operation), part.from, rebased(part.written), part.shortcut)
    for (const place of places) {
      for (const candidate of place.candidates) {
        const key = candidateKey(place, candidate)
        if (key !== null) add(key, place.input, writeCandidate(place, candidate, 'input'), place.shortcut)
      }
    }
    return [...byKey.values()]
  }

  return {
    name: config.name,
    input: config.input,
    classes: config.classes,
    blocks,
    fixedParts: fixed.map((part) => {
      const outer = new Map<string, Shape>([['input', part.from]])
      return { name: part.name, latencyKey: latencyKey(part.operation), ...totalCosts(rebased(part.written).layers, outer) }
    }),
    weightSpecs,
    network,
    measurableOperations,
  }
}

/** The head keeps its published width for multipliers below one (MobileNetV2, section 6.1). */
function scaleHead(config: MbconvConfig): number {
  return scaleWidth(config.headWidth ?? 0, Math.max(1, config.widthMult))
}

/** The same layers with the first one reading `input`. */
function rebased(written: Written): Written {
  const [first, ...rest] = written.layers
  if (!first || !('input' in first)) return written
  return { ...written, layers: [{ ...first, input: 'input' }, ...rest] }
}

export { createMbconvSpace, scaleWidth }
