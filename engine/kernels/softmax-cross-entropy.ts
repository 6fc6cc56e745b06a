// Softmax cross-entropy with label smoothing over a batch of logits, and its gradient. A few thousand numbers at most:
// plain float64 arithmetic on the tensors' own memory costs less than a dozen kernel launches.
//   target = (1 - s) * onehot + s / classes,  loss = -mean_i sum_c target * log softmax,  dlogits = (softmax - target) / n

type LossArguments = {
  /** Row-major [labels.length, classes]. */
  readonly logits: ArrayLike<number>
  readonly labels: ArrayLike<number>
  readonly labelSmoothing: number
  /** Written: the gradient of the mean loss. */
  readonly dlogits: { [index: number]: number }
}

/** Returns [mean loss, rows whose first largest logit is the label]. A NaN among the logits makes the loss NaN. */
function computeLoss({ logits, labels, labelSmoothing, dlogits }: LossArguments): [number, number] {
  const batch = labels.length
  const classes = logits.length / batch
  const share = labelSmoothing / classes
  let loss = 0
  let correct = 0
  for (let row = 0; row < batch; row++) {
    const start = row * classes
    const label = labels[row] as number
    let best = 0
    for (let c = 1; c < classes; c++) {
      if ((logits[start + c] as number) > (logits[start + best] as number)) best = c
    }
    if (best === label) correct++
    const largest = logits[start + best] as number
    let total = 0
    for (let c = 0; c < classes; c++) total += Math.exp((logits[start + c] as number) - largest)
    const logTotal = largest + Math.log(total)
    for (let c = 0; c < classes; c++) {
      const logProbability = (logits[start + c] as number) - logTotal
      const target = share + (c === label ? 1 - labelSmoothing : 0)
      // 0 * -Infinity would be NaN, where the limit is 0.
      if (target !== 0) loss -= target * logProbability
      dlogits[start + c] = (Math.exp(logProbability) - target) / batch
    }
  }
  return [loss / batch, correct]
}

export { computeLoss }
