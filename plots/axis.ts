// Where values lie on a plot's axis, and which of them get a tick.

/** A tick's distance to the next: one of these times a power of ten. */
const STEPS = [1, 2, 5, 10] as const
/** Between the ends of an axis, at most; at least three. */
const MAX_STEPS = 8
/** Room between the outermost values and the ends of the axis, as a share of the values' range. */
const ROOM = 0.05
/** Half of the range around a single value, as a share of it. */
const LONELY_SHARE = 0.1

type Range = readonly [low: number, high: number]

type Scale = {
  readonly range: Range
  /** Pixel of a value. */
  place(value: number): number
  readonly ticks: readonly { readonly value: number; readonly text: string }[]
}

/** Range that holds all values with some room; [0, 1] for none. */
function rangeOf(values: readonly number[]): Range {
  const finite = values.filter(Number.isFinite)
  if (finite.length === 0) return [0, 1]
  const low = finite.reduce((a, b) => Math.min(a, b))
  const high = finite.reduce((a, b) => Math.max(a, b))
  const room = high > low ? (high - low) * ROOM : Math.abs(low) * LONELY_SHARE || 1
  // Nothing below 0 where no value is: a latency axis that starts at -0.3 ms looks wrong.
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room]
}

/** Round values within a range, three to nine, with as many decimals as tell them apart. */
function ticksIn([low, high]: Range): Scale['ticks'] {
  const rough = (high - low) / MAX_STEPS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = (STEPS.find((each) => each * power >= rough * (1 - Number.EPSILON)) ?? 10) * power
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9))
  const first = Math.ceil(low / step - 1e-9)
  const last = Math.floor(high / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const value = (first + index) * step
    return { value, text: value.toFixed(decimals) }
  })
}

/** `from`, `to`: pixels of the range's ends. */
function createScale(range: Range, from: number, to: number): Scale {
  const [low, high] = range
  return { range, place: (value) => from + ((value - low) / (high - low)) * (to - from), ticks: ticksIn(range) }
}

export { createScale, type Range, rangeOf, type Scale }
