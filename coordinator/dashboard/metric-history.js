// The metrics of a search as columns to draw, and how many points become few.

/** @typedef {import('../../protocol/status.ts').Metric} Metric */
/** @typedef {{ x: number[], y: number[] }} Points */
/** @typedef {{ x: number, y: number, low: number, high: number }} Bin mean, lowest and highest of neighbouring points */

/** @returns {Points} */
const none = () => ({ x: [], y: [] })

export function createHistory() {
  // Of metrics that version 0.1.0 stored.
  const kinds = /** @type {const} */ ({
    trainWeights: 'training',
    trainMixtures: 'training',
    gateGradients: 'architecture',
    mixtureGradients: 'architecture',
    evaluatePaths: 'validation',
    batchNormScales: 'validation',
    score: 'validation',
    trainArchitecture: 'validation',
  })
  const history = {
    /** Number of the last metric held; 0 before the first. */
    lastSeq: 0,
    /** Weight steps done at the first architecture step: where warm-up ended. @type {number | null} */
    warmupEnd: null,
    loss: { training: none(), architecture: none(), validation: none() },
    accuracy: { training: none(), architecture: none(), validation: none() },
    entropy: none(),
    expectedLatencyMs: none(),

    /** @param {readonly Metric[]} metrics in order of `seq` */
    append(metrics) {
      for (const metric of metrics) {
        if (metric.seq <= history.lastSeq) continue
        history.lastSeq = metric.seq
        const kind = metric.series ?? kinds[metric.kind]
        if (kind === 'architecture') history.warmupEnd ??= metric.weightSteps
        if (kind) {
          add(history.loss[kind], metric.weightSteps, metric.loss)
          add(history.accuracy[kind], metric.weightSteps, metric.accuracy)
        }
        if (metric.entropy !== undefined) add(history.entropy, metric.weightSteps, metric.entropy)
        if (metric.expectedLatencyMs !== undefined) add(history.expectedLatencyMs, metric.weightSteps, metric.expectedLatencyMs)
      }
    },
  }
  return history
}
/** @typedef {ReturnType<typeof createHistory>} History */

/** @param {Points} points @param {number} x @param {number} y */
function add(points, x, y) {
  points.x.push(x)
  points.y.push(y)
}

/**
 * At most `count` bins of equal width over the points' range; points few enough are left as they are.
 *
 * @param {Points} points
 * @param {number} count
 * @returns {Bin[]}
 */
export function binPoints({ x, y }, count) {
  const first = x[0] ?? 0
  const width = ((x.at(-1) ?? 0) - first) / count
  /** @type {(Bin & { n: number, slot: number })[]} */
  const bins = []
  x.forEach((at, i) => {
    const value = /** @type {number} */ (y[i])
    const slot = x.length <= count || width === 0 ? i : Math.min(count - 1, Math.floor((at - first) / width))
    const last = bins.at(-1)
    if (!last || last.slot !== slot) {
      bins.push({ x: at, y: value, low: value, high: value, n: 1, slot })
      return
    }
    last.n++
    last.x += (at - last.x) / last.n
    last.y += (value - last.y) / last.n
    last.low = Math.min(last.low, value)
    last.high = Math.max(last.high, value)
  })
  return bins
}
