// npm run bench:data -- --json [--images N] [--batch N] [--steps N] [--backend NAME] [--processes N]
//
// Whether the reader of image folders keeps up with training: 224×224 training images a second that it decodes from JPEG
// files of 500×375 (about as many bytes each as ImageNet's), against images a second of weight steps on `proxyless-mobile`
// by the fastest backend here, one process per core on a backend of one thread. Then both at once, and how much of a step
// is spent waiting for the next batch. The reader's peak memory is taken over a folder and over one of twice as many images,
// reading as many images of each.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import sharp from 'sharp'
import { createRandom, seedState } from '../search-space/index.ts'
import { type BackendName, backendNames } from '../engine/backends/backends.ts'
import type { DataAnswer, DataJob, DataRequest } from './data-messages.ts'

const WIDTH = 500
const HEIGHT = 375
const CLASSES = 10
const JPEG_QUALITY = 90
/** Amplitude of the noise that makes files of about 110 kB, ImageNet's mean. */
const NOISE = 90
const DEFAULT_IMAGES = 600
const DEFAULT_BATCH = 16
const DEFAULT_STEPS = 3

function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Waves of three colours under noise, written as JPEG; no two images are alike. Returns the bytes of all files. */
async function writeImages(folder: string, from: number, to: number): Promise<number> {
  const random = createRandom(seedState('bench images', from))
  const noise = Float32Array.from({ length: 65_536 }, () => (random.uniform() - 0.5) * NOISE)
  let bytes = 0
  for (let image = from; image < to; image++) {
    const pixels = Buffer.alloc(WIDTH * HEIGHT * 3)
    const phase = random.uniform() * 6
    const wave = 20 + random.uniform() * 60
    const offset = random.integer(noise.length)
    for (let y = 0, at = 0; y < HEIGHT; y++) {
      for (let x = 0; x < WIDTH; x++) {
        for (let channel = 0; channel < 3; channel++, at++) {
          const light = 128 + 50 * Math.sin(x / wave + phase + channel) + 40 * Math.cos((y / wave) * (channel + 1))
          pixels[at] = Math.max(0, Math.min(255, light + (noise[(at + offset) & 0xffff] as number)))
        }
      }
    }
    const place = join(folder, 'train', `class ${image % CLASSES}`)
    mkdirSync(place, { recursive: true })
    const file = join(place, `${image}.jpg`)
    await sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
      .jpeg({ quality: JPEG_QUALITY })
      .toFile(file)
    bytes += statSync(file).size
  }
  return bytes
}

type Worker = { readonly ready: Extract<DataAnswer, { kind: 'ready' }>; run(): Promise<DataAnswer> }

/** Starts a process and waits until it is warm. */
async function startWorker(job: DataJob): Promise<Worker> {
  const child = fork(new URL('./data-worker.ts', import.meta.url))
  const answer = async (): Promise<DataAnswer> => {
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the ${job.kind} process ended early with code ${code}`)
    })
    ended.catch(() => undefined)
    return Promise.race([once(child, 'message').then(([message]) => message as DataAnswer), ended])
  }
  child.send({ kind: 'job', job } satisfies DataRequest)
  const ready = await answer()
  if (ready.kind !== 'ready') throw new Error(`expected a process that is ready, got ${ready.kind}`)
  return {
    ready,
    run() {
      const result = answer()
      child.send({ kind: 'go' } satisfies DataRequest)
      return result
    },
  }
}

async function read(job: Extract<DataJob, { kind: 'read' }>): Promise<Extract<DataAnswer, { kind: 'read' }>> {
  const result = await (await startWorker(job)).run()
  if (result.kind !== 'read') throw new Error(`expected images read, got ${result.kind}`)
  return result
}

/** All processes at once; images of all of them a second, and the share of their time that they waited for a batch. */
async function train(job: Extract<DataJob, { kind: 'train' }>, processes: number) {
  const workers = await Promise.all(Array.from({ length: processes }, () => startWorker(job)))
  const results = await Promise.all(workers.map((worker) => worker.run()))
  let imagesPerSecond = 0
  let waitShare = 0
  for (const result of results) {
    if (result.kind !== 'trained') throw new Error(`expected steps trained, got ${result.kind}`)
    imagesPerSecond += (result.images / result.ms) * 1000
    waitShare += result.waitMs / result.ms / processes
  }
  return { backend: workers[0]?.ready.backend ?? '', imagesPerSecond, waitShare }
}

function wholeNumber(text: string, flag: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`expected ${flag} to be a whole number from 1 on, got ${text}`)
  return value
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    images: { type: 'string', default: String(DEFAULT_IMAGES) },
    batch: { type: 'string', default: String(DEFAULT_BATCH) },
    steps: { type: 'string', default: String(DEFAULT_STEPS) },
    backend: { type: 'string', default: 'auto' },
    processes: { type: 'string' },
  },
})
const images = wholeNumber(values.images, '--images')
const batch = wholeNumber(values.batch, '--batch')
const steps = wholeNumber(values.steps, '--steps')
const backend = values.backend as BackendName | 'auto'
if (backend !== 'auto' && !backendNames.includes(backend)) {
  throw new Error(`expected --backend auto or ${backendNames.join(', ')}, got ${backend}`)
}
note(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}, sharp ${sharp.versions.sharp}`)
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-data-'))
try {
  const data = join(folder, 'data')
  const cacheFolder = join(folder, 'cache')
  const bytes = await writeImages(data, 0, images)
  note(`${images} JPEG files of ${WIDTH}×${HEIGHT}, ${Math.round(bytes / images / 1000)} kB each`)
  const single = await read({ kind: 'read', folder: data, cacheFolder, images: 2 * images })
  await writeImages(data, images, 2 * images)
  const double = await read({ kind: 'read', folder: data, cacheFolder, images: 2 * images })
  const readerImagesPerSecond = Math.max(...[single, double].map((result) => (result.images / result.ms) * 1000))
  const mebibytes = (value: number) => (value / 2 ** 20).toFixed(0)
  note(`reader: ${readerImagesPerSecond.toFixed(0)} images a second`)
  note(`reader: peak ${mebibytes(single.peakRssBytes)} MiB for ${images} images, ${mebibytes(double.peakRssBytes)} MiB for ${2 * images}`)

  const probe = (await startWorker({ kind: 'train', backend, batch: 1, steps: 1, data: null })) satisfies Worker
  await probe.run()
  const oneThread = probe.ready.backend === 'wasm' || probe.ready.backend === 'cpu'
  const processes = values.processes === undefined ? (oneThread ? availableParallelism() : 1) : wholeNumber(values.processes, '--processes')
  const job = { kind: 'train', backend, batch, steps, data: null } as const
  const alone = await train(job, processes)
  note(`training: ${alone.imagesPerSecond.toFixed(1)} images a second by ${processes} × ${alone.backend}, batch ${batch}`)
  const fed = await train({ ...job, data: { folder: data, cacheFolder } }, processes)
  note(`training from the folder: ${fed.imagesPerSecond.toFixed(1)} images a second, ${(100 * fed.waitShare).toFixed(1)} % of it waiting`)
  const ratio = readerImagesPerSecond / alone.imagesPerSecond
  note(`the reader gives ${ratio.toFixed(1)} times what training takes`)
  if (values.json) {
    console.log(
      JSON.stringify({
        readerImagesPerSecond,
        trainImagesPerSecond: alone.imagesPerSecond,
        ratio,
        peakRssBytes: single.peakRssBytes,
        peakRssBytesDoubled: double.peakRssBytes,
        images,
        fileBytes: bytes / images,
        backend: alone.backend,
        processes,
        batch,
        fedImagesPerSecond: fed.imagesPerSecond,
        fedWaitShare: fed.waitShare,
      }),
    )
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
