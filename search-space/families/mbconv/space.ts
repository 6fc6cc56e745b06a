// The parametric MBConv space: a stem, blocks that each choose one MBConv (expansion × kernel), Zero or Identity, a head.
// MBConv = 1×1 expand, BN, ReLU6, depthwise k×k, BN, ReLU6, 1×1 project, BN; no expand layers at ratio 1; the input is
// added where stride is 1 and the channels match (Sandler et al. 2018, section 3.3). Identity skips such a block, and
// elsewhere is a 1×1 convolution with the block's stride and BN. Candidate operations share nothing; a fixed part has the
// single operation name `conv`.

import { commaEncoding } from '../../encoding.ts'
import { latencyKey, type LatencyOperation } from '../../latency-key.ts'
import type { Layer, LayerGraph, PrimitiveLayer, Shape } from '../../layer-graph.ts'
import { totalCosts } from '../../layer-costs.ts'
import { mixedLayer, optionsOf } from '../gates.ts'
import { createPartWriter, type Written } from '../part-writer.ts'
import { convolve, FIXED_PREFIXES, type MbconvChoice, type NetworkPlan, type Place, STEM_KERNEL } from './plan.ts'
import {
  type Choice,
  type CostTerm,
  type Decision,
  type MeasurableOperation,
  type Option,
  type Part,
  type Space,
  SpaceError,
} from '../../space.ts'

type PartWriter = ReturnType<typeof createPartWriter>

const optionOf = ({ name, kind }: MbconvChoice): Option => ({
  name,
  isZero: kind === 'skip',
  ...(kind !== 'mbconv' && { isSkip: true }),
})

function writeConv(
  writer: PartWriter,
  part: string,
  input: string,
  kernel: number,
  stride: number,
  channels: number,
  relu: boolean,
): string {
  const conv = writer.conv(part, input, kernel, stride, convolve(writer.shapeOf(input), stride, channels))
  const norm = writer.norm(part, conv)
  return relu ? writer.activate(part, norm, 'relu6') : norm
}

function writeMbconv(
  prefix: string,
  input: string,
  from: Shape,
  settings: { expansion: number; kernel: number; stride: number; channels: number },
  epsilon: number,
): Written {
  const { expansion, kernel, stride, channels } = settings
  const writer = createPartWriter(prefix, from, epsilon)
  const expanded = expansion > 1 ? writeConv(writer, 'expand', input, 1, 1, from[2] * expansion, true) : input
  const wide = writer.shapeOf(expanded)
  const depthwise = writer.depthwise('depthwise', expanded, kernel, stride, convolve(wide, stride, wide[2]))
  const active = writer.activate('depthwise', writer.norm('depthwise', depthwise), 'relu6')
  return writer.done(writeConv(writer, 'project', active, 1, 1, channels, false))
}

function writeConvNorm(
  prefix: string,
  input: string,
  from: Shape,
  kernel: number,
  stride: number,
  channels: number,
  relu: boolean,
  epsilon: number,
): Written {
  const writer = createPartWriter(prefix, from, epsilon)
  return writer.done(writeConv(writer, 'conv', input, kernel, stride, channels, relu))
}

/** The space that a plan stands for. */
function createMbconvSpace(plan: NetworkPlan): Space {
  const { epsilon, places } = plan
  const head: Written[] = []
  const fixed: { name: string; written: Written; from: Shape; operation: LatencyOperation; shortcut: boolean }[] = []
  const stem = writeConvNorm(FIXED_PREFIXES.stem, 'input', plan.input, STEM_KERNEL, plan.stem.stride, plan.stem.width, true, epsilon)
  fixed.push({
    name: 'stem',
    written: stem,
    from: plan.input,
    operation: { type: 'Conv', input: plan.input, output: stem.shape },
    shortcut: false,
  })
  head.push(stem)
  let last = stem
  if (plan.first) {
    const { kernel, width } = plan.first
    const from = last.shape
    last = writeMbconv(FIXED_PREFIXES.first, last.output, from, { expansion: 1, kernel, stride: 1, channels: width }, epsilon)
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

  const bodyInput = last
  const bodyShape = places.at(-1)?.output ?? last.shape

  const tail: Written[] = []
  const writeTail = (input: string): Written[] => {
    const written: Written[] = []
    let end = { output: input, shape: bodyShape }
    if (plan.headWidth !== null) {
      const conv = writeConvNorm(FIXED_PREFIXES.head, end.output, end.shape, 1, 1, plan.headWidth, true, epsilon)
      written.push(conv)
      end = conv
    }
    const classifier = createPartWriter(FIXED_PREFIXES.classifier, end.shape, epsilon)
    written.push(classifier.done(classifier.classifier(end.output, plan.classes)))
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
    operation: { type: 'Logits', input: pooled, classes: plan.classes },
    shortcut: false,
  })

  const writeCandidate = (place: Place, candidate: MbconvChoice, input: string): Written => {
    const prefix = `${place.name}/${candidate.name}`
    const { input: from, output, stride } = place
    const [, , channels] = output
    switch (candidate.kind) {
      case 'skip': {
        const id = `${prefix}/zero`
        return { layers: [{ kind: 'zero', id, input, shape: output }], weightSpecs: [], output: id, shape: output }
      }
      case 'projection':
        return writeConvNorm(prefix, input, from, 1, stride, channels, false, epsilon)
      case 'mbconv': {
        const { expansion, kernel } = candidate
        return writeMbconv(prefix, input, from, { expansion, kernel, stride, channels }, epsilon)
      }
      default:
        return candidate satisfies never
    }
  }

  const candidateKey = ({ input, output, stride, shortcut }: Place, candidate: MbconvChoice): string | null => {
    switch (candidate.kind) {
      case 'skip':
        return null
      case 'projection':
        return latencyKey({ type: 'Projection', input, output, stride })
      case 'mbconv': {
        const { expansion: expand, kernel } = candidate
        return latencyKey({ type: 'expanded_conv', input, output, expand, kernel, stride, shortcut })
      }
      default:
        return candidate satisfies never
    }
  }

  const decisions = places.map(({ name, input, output, shortcut, candidates }): Decision => {
    const where = `${input.join('x')} to ${output.join('x')}${shortcut ? ', shortcut' : ''}`
    return { name, where, options: candidates.map(optionOf) }
  })

  const partsOf = (place: Place, candidate: MbconvChoice): Part[] => {
    const outer = new Map<string, Shape>([['input', place.input]])
    const costs = totalCosts(writeCandidate(place, candidate, 'input').layers, outer)
    return [{ name: place.name, operation: candidate.name, latencyKey: candidateKey(place, candidate), ...costs }]
  }

  const fixedParts = fixed.map((part): Part => {
    const outer = new Map<string, Shape>([['input', part.from]])
    const costs = totalCosts(rebased(part.written).layers, outer)
    return { name: part.name, operation: part.name === 'classifier' ? 'linear' : 'conv', latencyKey: latencyKey(part.operation), ...costs }
  })

  const terms: CostTerm[] = [
    { decisions: [], parts: [fixedParts] },
    ...places.map((place, index) => ({ decisions: [index], parts: place.candidates.map((candidate) => partsOf(place, candidate)) })),
  ]

  const weightSpecs = [
    ...head.flatMap((part) => part.weightSpecs),
    ...places.flatMap((place) => place.candidates.flatMap((candidate) => writeCandidate(place, candidate, 'input').weightSpecs)),
    ...tail.flatMap((part) => part.weightSpecs),
  ]

  const network = (choices: readonly Choice[]): LayerGraph => {
    if (choices.length !== places.length) {
      throw new SpaceError('choices', 'choices', `expected ${places.length} choices, one per decision, got ${choices.length}`)
    }
    const layers: Layer[] = [{ kind: 'input', id: 'input', shape: plan.input }, ...head.flatMap((part) => part.layers)]
    let input = bodyInput.output
    for (const [block, place] of places.entries()) {
      const choice = choices[block] as Choice
      const candidateAt = (operation: number): MbconvChoice => {
        const candidate = place.candidates[operation]
        if (!candidate) {
          throw new SpaceError(
            'choices',
            `choices[${block}]`,
            `expected an option from 0 to ${place.candidates.length - 1} of ${place.name}, got ${operation}`,
          )
        }
        return candidate
      }
      const options = optionsOf(choice)
      const [active] = options
      // A shortcut alone is the identity, so the block is left out; as the active branch it takes no update (docs/architecture.md).
      if (candidateAt(active).kind === 'skip') continue
      let output: string
      const from = input
      const write = (option: number) => writeCandidate(place, candidateAt(option), from)
      if (options.length === 1) {
        const written = write(active)
        layers.push(...written.layers)
        output = written.output
      } else {
        output = `${place.name}/mixed`
        layers.push(mixedLayer({ id: output, input: from, block, shape: place.output }, options, write))
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
    name: plan.name,
    input: plan.input,
    classes: plan.classes,
    decisions,
    terms,
    encoding: commaEncoding(decisions),
    weightSpecs,
    network,
    measurableOperations,
  }
}

/** The same layers with the first one reading `input`. */
function rebased(written: Written): Written {
  const [first, ...rest] = written.layers
  if (!first || !('input' in first)) return written
  return { ...written, layers: [{ ...first, input: 'input' }, ...rest] }
}

export { createMbconvSpace }
