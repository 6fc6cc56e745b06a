// What a search should be told of while there is time, and what whoever takes its result should know at the end.

import type { DistributionView, SearchView, SearchWarning } from '../../protocol/index.ts'

/** Before this share of a search nothing is said: alpha has hardly moved yet. */
const JUDGED_FROM = 0.6
/** Of its start, above which entropy is called flat on the way, and at the end. */
const FLAT_SHARE = { running: 0.75, ended: 0.5 }
/** Of the target, beyond which a latency is called off target on the way, and at the end. */
const OFF_SHARE = { running: 0.15, ended: 0.05 }

type Judged = {
  readonly view: SearchView
  /** 0 to 1. */
  readonly progress: number
  readonly ended: boolean
  readonly currentMs: number
  readonly targetMs: number
}

const round = (value: number) => value.toPrecision(3)
const percent = (share: number) => `${Math.round(100 * Math.abs(share))} %`

function flatness({ entropy: { mean, start } }: DistributionView, ended: boolean): SearchWarning | null {
  if (start <= 0 || mean <= FLAT_SHARE[ended ? 'ended' : 'running'] * start) return null
  const state = `the probabilities are ${ended ? '' : 'still '}nearly even: entropy ${round(mean)} of ${round(start)} nats at the start`
  const remedy = ended
    ? 'what is derived is little better than a draw; search with more steps, a larger strategy.learningRate, or strategy.entropy'
    : 'unless they get sharper, what is derived will be little better than a draw; strategy.entropy makes them so by the end'
  return { kind: 'flat', message: `${state}; ${remedy}` }
}

/** Expected latency on the way, that of the architecture that the search has come to at the end. */
function distance(view: DistributionView, { ended, currentMs, targetMs }: Judged): SearchWarning | null {
  const ms = ended ? currentMs : view.expectedLatencyMs
  const off = ms / targetMs - 1
  if (Math.abs(off) <= OFF_SHARE[ended ? 'ended' : 'running']) return null
  const what = ended ? 'the most probable architecture takes' : 'latency expected'
  const state = `${what} ${round(ms)} ms, ${percent(off)} ${off > 0 ? 'above' : 'below'} the target of ${round(targetMs)} ms`
  const remedy =
    off < 0
      ? '`derive --at-target` looks for one that uses what it may'
      : ended
        ? '`derive --at-target` looks for one within it; a heavier latency.loss would have kept to it'
        : 'a heavier latency.loss would keep to it'
  return { kind: 'off-target', message: `${state}; ${remedy}` }
}

/** None where there is nothing to say, and for searches that have no distribution: those keep their bound. */
function searchWarnings(judged: Judged): SearchWarning[] {
  const { view, progress, ended } = judged
  if (view.kind !== 'distribution' || (!ended && progress < JUDGED_FROM)) return []
  return [flatness(view, ended), distance(view, judged)].filter((warning) => warning !== null)
}

export { searchWarnings }
