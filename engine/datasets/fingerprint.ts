// sha256 over a canonical description, then train images, train labels, test images, test labels. Names, file formats
// and compression are left out on purpose: the same data has the same fingerprint wherever it comes from.

import { createHash } from 'node:crypto'

import type { RawDataset } from './dataset.ts'
import { bitsOfPixels } from './pixels.ts'

/** 64 hex digits. */
function fingerprintOf({ shape, classes, train, test }: RawDataset): string {
  const description = `gatehouse dataset 1\nshape ${shape.join('x')}\nclasses ${classes}\ntrain ${train.count}\ntest ${test.count}\n`
  // Bytes are what the first version knew.
  const bits = bitsOfPixels(train.images)
  return createHash('sha256')
    .update(bits === 8 ? description : `${description}bits ${bits}\n`)
    .update(train.images)
    .update(train.labels)
    .update(test.images)
    .update(test.labels)
    .digest('hex')
}

export { fingerprintOf }
