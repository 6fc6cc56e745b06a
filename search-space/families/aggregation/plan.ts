// What reads what in a network: stages of outputs, of which number 0 is what the stage begins with and number i what unit i makes, and the
// layers that read them, units and what follows the last of them. Each reads the output just before it, and further ones by edges.

import type { Shape } from '../../layer-graph.ts'
import { type Decision, SpaceError } from '../../space.ts'
import { convolve } from '../mbconv/plan.ts'
import { type Aggregation, type AggregationConfig, BOTTLENECK, isSource } from './config.ts'
import { optionOf } from '../option-of.ts'

const UNIT_KERNEL = 3
const TRANSITION_SCALE = 2

type Edge = {
  /** Number of the output in its stage. */
  readonly source: number
  /** Of that output. */
  readonly shape: Shape
  /** What may be made of it, in the order of the settings. */
  readonly options: readonly Aggregation[]
  /** Index of the decision that takes one; null where there is but one. */
  readonly decision: number | null
}

/** A layer that reads several outputs: the convolution of a unit or behind a stage, or the classifier. */
type Reader = {
  readonly name: string
  readonly stage: number
  /** Number of the output that it makes; behind the last unit one more. */
  readonly position: number
  /** Of the output just before it. */
  readonly last: Shape
  /** In the order of their outputs, which are all but the one just before. */
  readonly edges: readonly Edge[]
  /** Its convolution, and what that makes; null for a classifier, which has none. */
  readonly convolution: { readonly kernel: number; readonly shape: Shape } | null
  /** What the 3×3 convolution behind a bottleneck makes; null where there is none. */
  readonly inner: Shape | null
  /** Whether means of 2×2 pixels follow. */
  readonly isHalved: boolean
}

type StagePlan = {
  readonly units: readonly Reader[]
  /** Behind the last unit: a transition, what comes before the classifier, or the classifier itself. */
  readonly exit: Reader
}

type Plan = {
  /** Of the output of the stem. */
  readonly stem: Shape
  readonly stages: readonly StagePlan[]
  readonly decisions: readonly Decision[]
}

/** Throws SpaceError `config` where settings contradict each other. */
function checkConfig({ input, stem, stages, aggregations }: AggregationConfig): void {
  if (new Set(aggregations).size < aggregations.length) {
    throw new SpaceError('config', 'space.aggregations', `expected different aggregations, got ${aggregations.join(', ')}`)
  }
  const halvings = stem.stride * TRANSITION_SCALE ** (stages.length - 1)
  if (input[0] % halvings === 0 && input[1] % halvings === 0) return
  throw new SpaceError('config', 'space.input', `expected sides that can be divided by ${halvings}, got ${input.join('×')}`)
}

/** Throws SpaceError `config` where settings contradict each other. */
function planReaders(config: AggregationConfig): Plan {
  checkConfig(config)
  const { input, stem, stages, bottleneck, sources, aggregations, headWidth } = config
  const decisions: Decision[] = []
  const first = convolve(input, stem.stride, stages[0]?.width ?? 0)

  const edgesOf = (stage: number, position: number, outputs: readonly Shape[]): Edge[] => {
    const last = outputs[position - 1] as Shape
    const field = `space.stages[${stage}]`
    return outputs.slice(0, position - 1).flatMap((shape, source): Edge[] => {
      if (!isSource(sources, position, source)) return []
      const options = aggregations.filter((aggregation) => aggregation !== 'sum' || shape[2] === last[2])
      if (options.length === 0) {
        throw new SpaceError(
          'config',
          field,
          `expected a width equal to the growth where outputs are added, got ${shape[2]} and ${last[2]}`,
        )
      }
      if (options.length === 1) return [{ source, shape, options, decision: null }]
      const reader = position === outputs.length ? 'what follows the stage' : `unit ${position}`
      const where = `${source === 0 ? 'what the stage begins with' : `unit ${source}`} to ${reader}, ${shape[0]}x${shape[1]}`
      const decision =
        decisions.push({ name: `stage${stage + 1}.edge${position}.${source}`, where, options: options.map((option) => optionOf(option)) }) -
        1
      return [{ source, shape, options, decision }]
    })
  }

  const planned = stages.map(({ units, growth, width }, index): StagePlan => {
    const side = TRANSITION_SCALE ** index
    const at = (channels: number): Shape => [first[0] / side, first[1] / side, channels]
    const outputs = [at(width), ...Array.from({ length: units }, () => at(growth))]
    const readerAt = (position: number, name: string) => ({
      name,
      stage: index,
      position,
      last: outputs[position - 1] as Shape,
      edges: edgesOf(index, position, outputs),
    })
    const next = stages[index + 1]
    const exitWidth = next ? next.width : headWidth
    return {
      units: Array.from({ length: units }, (_, i): Reader => ({
        ...readerAt(i + 1, `stage${index + 1}.unit${i + 1}`),
        convolution: bottleneck ? { kernel: 1, shape: at(BOTTLENECK * growth) } : { kernel: UNIT_KERNEL, shape: at(growth) },
        inner: bottleneck ? at(growth) : null,
        isHalved: false,
      })),
      exit: {
        ...readerAt(units + 1, next ? `transition${index + 1}` : 'last'),
        convolution: exitWidth === null ? null : { kernel: 1, shape: at(exitWidth) },
        inner: null,
        isHalved: next !== undefined,
      },
    }
  })
  const classifier = planned.at(-1)?.exit
  const isConcatChosen = ({ options, decision }: Edge) => decision !== null && options.includes('concat')
  if (classifier && !classifier.convolution && classifier.edges.some(isConcatChosen)) {
    const message = 'expected a number of channels where it is chosen what is concatenated, got null'
    throw new SpaceError('config', 'space.headWidth', message)
  }
  return { stem: first, stages: planned, decisions }
}

/** Whether a reader has one weight for all that it reads: nothing of that is chosen. */
function isSettled({ edges }: Reader): boolean {
  return edges.every(({ decision }) => decision === null)
}

export { type Edge, isSettled, type Plan, planReaders, type Reader, type StagePlan, TRANSITION_SCALE, UNIT_KERNEL }
