// Labels against the number of classes.

import type { Labels } from './dataset.ts'
import { DatasetError } from './errors.ts'

/** `reason` says where the number of classes is from. Throws `label-out-of-range` with the first label beyond it. */
function checkLabels(labels: Labels, file: string, classes: number, reason: string): void {
  const at = labels.findIndex((label) => label >= classes)
  if (at < 0) return
  throw new DatasetError(
    'label-out-of-range',
    `expected labels from 0 to ${classes - 1} (${reason}), got ${labels[at]} for image ${at} of ${file}`,
    { file },
  )
}

export { checkLabels }
