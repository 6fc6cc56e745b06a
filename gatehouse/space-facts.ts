// What there is to say of a space in numbers.

import { elementCount, isAdditive, type Space } from '../search-space/index.ts'

const FLOAT_BYTES = 4
/** Numbers of architectures are exact as floating-point numbers up to this. */
const MAX_EXACT = 2 ** 53

type SpaceFacts = {
  readonly name: string
  readonly input: readonly number[]
  readonly classes: number
  readonly decisions: number
  /** Null for more than a floating-point number holds. */
  readonly architectures: number | null
  readonly log10Architectures: number
  /** Of uniform probabilities, nats. */
  readonly entropy: number
  readonly supernet: { readonly weights: number; readonly parameters: number; readonly bytes: number }
  readonly latencyKeys: number
  readonly additive: boolean
}

function factsOf(space: Space): SpaceFacts {
  const entropy = space.decisions.reduce((sum, { options }) => sum + Math.log(options.length), 0)
  const architectures = space.decisions.reduce((product, { options }) => product * options.length, 1)
  const parameters = space.weightSpecs.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  return {
    name: space.name,
    input: space.input,
    classes: space.classes,
    decisions: space.decisions.length,
    architectures: Number.isFinite(architectures) ? architectures : null,
    log10Architectures: entropy / Math.LN10,
    entropy,
    supernet: { weights: space.weightSpecs.length, parameters, bytes: parameters * FLOAT_BYTES },
    latencyKeys: space.measurableOperations().length,
    additive: isAdditive(space),
  }
}

function printCount({ architectures, log10Architectures }: SpaceFacts): string {
  return architectures !== null && architectures <= MAX_EXACT && log10Architectures < 9
    ? architectures.toLocaleString('en-US')
    : `10^${log10Architectures.toFixed(1)}`
}

export { factsOf, printCount }
