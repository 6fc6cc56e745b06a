// What `gatehouse data check` has found, as a page: each kind of fault with its count, what it means, and the first files.

import { cutText, printable, renderTable } from '../../command-line/text-layout.ts'
import type { DatasetReport } from '../../engine/datasets/index.ts'

/** Classes and files that the text shows; --json has all classes. */
const SHOWN_CLASSES = 20
const SHOWN_FILES = 5
const CLASS_NAME_WIDTH = 40
const REASON_WIDTH = 80
/** Of what stands in front of each line. */
const LABEL_WIDTH = 13

const BROKEN_ADVICE = 'in training each is replaced by another image of its class; repair or remove them'
const FLAT_ADVICE = 'there is nothing to be seen on them; look whether they were saved as they should be'
const IGNORED_ADVICE = 'they are not called like images, or nothing reads their folder'

function listFiles(files: readonly string[], count: number): string {
  const indent = `\n${' '.repeat(LABEL_WIDTH)}`
  const shown = files.slice(0, SHOWN_FILES).map((file) => `${indent}${printable(file)}`)
  return `${shown.join('')}${count > SHOWN_FILES ? `${indent}and ${count - SHOWN_FILES} more` : ''}`
}

/** How many, what that means, and which. */
function fault(count: number, advice: string, examples: readonly string[]): string {
  return count === 0 ? '0' : `${count}: ${advice}${listFiles(examples, count)}`
}

function duplicatesText({ count, sets, acrossSplits, acrossClasses, examples }: DatasetReport['duplicates']): string {
  if (count === 0) return '0'
  const advice = [
    `${count} beyond the first of ${sets} ${sets === 1 ? 'set' : 'sets'} of equal images`,
    ...(acrossSplits > 0 ? [`${acrossSplits} of them in both splits, which makes a test look better than it is: keep one of each`] : []),
    ...(acrossClasses > 0 ? [`${acrossClasses} in several classes, of which one at most is right`] : []),
  ]
  const files = examples.map((set) => set.join(' = '))
  return `${advice.join('; ')}${listFiles(files, sets)}`
}

function describeValidation({ images, validationFolder }: DatasetReport): string {
  return images.validation === undefined ? '' : `, ${images.validation} validation images (from ${printable(validationFolder ?? '')}/)`
}

function describeTest(report: DatasetReport): string {
  if (report.testFolder === undefined) return ''
  return report.testFolder === null ? ' (drawn: a tenth of each class)' : ` (from ${printable(report.testFolder)}/)`
}

function renderDataset(report: DatasetReport): string {
  const { images, shape, bits, sizes, broken, flat, warnings, duplicates, ignored, normalisation, classes } = report
  const decimals = (values: readonly number[]) => values.map((value) => value.toFixed(4)).join(', ')
  const entries: [string, string][] = [
    ['data', `${printable(report.name)}, ${report.kind}`],
    ['splits', `${images.train} training images, ${images.test} test images${describeTest(report)}${describeValidation(report)}`],
    ['sizes', `${sizes.smallest.join('×')} to ${sizes.largest.join('×')} (width × height), in batches ${shape.join('×')}, ${bits} bits`],
    ['kept', report.storage === 'memory' ? 'in memory' : 'in files, decoded as they are needed'],
    ['mean', decimals(normalisation.mean)],
    ['deviation', decimals(normalisation.std)],
    ['fingerprint', report.fingerprint],
    [
      'broken',
      fault(
        broken.count,
        BROKEN_ADVICE,
        broken.examples.map(({ file, reason }) => `${file}: ${cutText(reason, REASON_WIDTH)}`),
      ),
    ],
    ['one colour', fault(flat.count, FLAT_ADVICE, flat.examples)],
    ['duplicates', duplicatesText(duplicates)],
    ['not read', fault(ignored.count, IGNORED_ADVICE, ignored.examples)],
    ['reader', `${Math.round(report.readerImagesPerSecond)} training images a second`],
  ]
  const table = renderTable(
    [
      { title: 'class' },
      { title: 'train', align: 'right' },
      { title: 'test', align: 'right' },
      ...(images.validation === undefined ? [] : [{ title: 'validation', align: 'right' } as const]),
    ],
    classes
      .slice(0, SHOWN_CLASSES)
      .map(({ name, train, test, validation }) => [
        cutText(printable(name), CLASS_NAME_WIDTH),
        String(train),
        String(test),
        ...(validation === undefined ? [] : [String(validation)]),
      ]),
  )
  const more = classes.length > SHOWN_CLASSES ? `\nand ${classes.length - SHOWN_CLASSES} more` : ''
  const lines = [...entries, ...warnings.map((message): [string, string] => ['warning', printable(message)])]
  return `${lines.map(([label, text]) => `${label.padEnd(LABEL_WIDTH)}${text}`).join('\n')}\n\n${table}${more}`
}

export { renderDataset }
