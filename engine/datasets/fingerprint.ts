// sha256 over a canonical description, then train images, train labels, test images, test labels. Names, file formats
// and compression are left out on purpose: the same data has the same fingerprint wherever it comes from.

import { createHash } from 'node:crypto'

import type { RawDataset } from './dataset.ts'

/** 64 hex digits. */
function fingerprintOf({ shape, classes, train, test }: RawDataset): string {
  const description = `gatehouse dataset 1\nshape ${shape.join('x')}\nclasses ${classes}\ntrain ${train.count}\ntest ${test.count}\n`
  return createHash('sha256')
    .update(description)
    .update(train.images)
    .update(train.labels)
    .update(test.images)
    .update(test.labels)
    .digest('hex')
}

export { fingerprintOf }
