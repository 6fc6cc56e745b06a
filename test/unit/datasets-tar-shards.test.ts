// Tar archives of images, written by tar itself in its three formats, held against the same images in class folders.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type Batch,
  type Dataset,
  type DatasetProgress,
  type ImageShape,
  inspectDataset,
  openBatchSource,
  openDataset,
} from '../../engine/datasets/index.ts'
import { readTarMembers } from '../../engine/datasets/tar-members.ts'
import { gradient, plain, writeFiles } from '../fixtures/image-folder.ts'

let root: string
let data: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gatehouse-tar-'))
  data = join(root, 'data')
  mkdirSync(data)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const INPUT: ImageShape = [8, 8, 3]
const LONG = 'a-rather-long-folder-name-that-goes-on-and-on/'.repeat(4)

/** Packs everything in a folder, in the order of names. */
function pack(from: string, archive: string, format: 'gnu' | 'pax' | 'ustar' = 'ustar'): void {
  execFileSync('tar', [`--format=${format}`, '--sort=name', '-cf', archive, ...readdirSync(from).toSorted()], { cwd: from })
}

/** Twelve samples of two classes, six in each of two archives; a brightness of its own for each. */
async function writeShards(
  names: readonly [string, string],
  { labels = ['1', '0'], format = 'ustar' as 'gnu' | 'pax' | 'ustar', inner = '' } = {},
): Promise<void> {
  for (const [shard, name] of names.entries()) {
    const from = join(root, `shard ${shard}`)
    for (let i = 0; i < 6; i++) {
      const key = `${inner}${String(shard * 6 + i).padStart(4, '0')}`
      const value = 20 * (shard * 6 + i + 1)
      await writeFiles(from, {
        [`${key}.png`]: plain([40, 30], [value, value, 0]),
        [`${key}.cls`]: `${labels[i % 2]}\n`,
        [`${key}.json`]: '{}',
      })
    }
    mkdirSync(join(data, name, '..'), { recursive: true })
    pack(from, join(data, name), format)
  }
}

const open = (ref = data, onProgress?: (progress: DatasetProgress) => void) =>
  openDataset(ref, { cacheFolder: join(root, 'cache'), input: () => INPUT, ...(onProgress && { onProgress }) })

async function readAll(dataset: Dataset, split: 'train' | 'test'): Promise<Batch> {
  const indices = Uint32Array.from({ length: dataset[split].count }, (_, index) => index)
  for await (const batch of (await openBatchSource(dataset)).batches([{ split, indices }])) return batch
  throw new Error('no batch')
}

/** Red of the first pixel of each image, as a byte. */
async function reds(dataset: Dataset, split: 'train' | 'test'): Promise<number[]> {
  const { images } = await readAll(dataset, split)
  const { mean, std } = dataset.normalisation
  const size = INPUT[0] * INPUT[1] * INPUT[2]
  return Array.from({ length: images.length / size }, (_, i) =>
    Math.round(((images[i * size] as number) * (std[0] as number) + (mean[0] as number)) * 255),
  )
}

describe('tar archives', () => {
  it.each(['gnu', 'pax', 'ustar'] as const)('are images by class, from wherever in the archive they are: %s', async (format) => {
    await writeShards(['train-0000.tar', 'test-0000.tar'], { format, inner: format === 'ustar' ? 'inner/' : LONG })
    const dataset = await open()
    expect(dataset).toMatchObject({ storage: 'files', classes: 2, classNames: ['0', '1'] })
    // By class, within a class in the order of members.
    expect(await reds(dataset, 'train')).toEqual([40, 80, 120, 20, 60, 100])
    expect(await reds(dataset, 'test')).toEqual([160, 200, 240, 140, 180, 220])
    expect([...dataset.train.labels]).toEqual([0, 0, 0, 1, 1, 1])
  })

  it('have the splits that their names or folders say, and names of classes', async () => {
    await writeShards(['train/a.tar', 'val/a.tar'], { labels: ['dog', 'cat'] })
    const dataset = await open(`tar:${data}`)
    expect(dataset).toMatchObject({ classNames: ['cat', 'dog'], train: { count: 6 }, test: { count: 6 } })
    expect(dataset.validation).toBeUndefined()
    rmSync(data, { recursive: true })
    mkdirSync(data)
    await writeShards(['imagenet-0.tar', 'imagenet-1.tar'])
    writeFileSync(join(data, 'classes.txt'), 'tench\ngoldfish\nshark\n')
    const drawn = await open()
    // A tenth of each class, one at least.
    expect(drawn).toMatchObject({ classNames: ['tench', 'goldfish', 'shark'], train: { count: 10 }, test: { count: 2 } })
  })

  it('are the same data on every machine, and other data after a change', async () => {
    await writeShards(['train-0.tar', 'test-0.tar'])
    const { fingerprint } = await open()
    rmSync(join(root, 'cache'), { recursive: true })
    expect((await open()).fingerprint).toBe(fingerprint)
    await writeFiles(join(root, 'shard 0'), { '0001.png': gradient([40, 30]) })
    pack(join(root, 'shard 0'), join(data, 'train-0.tar'))
    expect((await open()).fingerprint).not.toBe(fingerprint)
  })

  it('are looked through by data check, broken images in them too', async () => {
    await writeShards(['train-0.tar', 'test-0.tar'])
    const broken = readFileSync(join(root, 'shard 0', '0002.png'))
    writeFileSync(join(root, 'shard 0', '0002.png'), broken.subarray(0, broken.length - 40))
    writeFileSync(join(root, 'shard 0', '0003.png'), 'not an image')
    pack(join(root, 'shard 0'), join(data, 'train-0.tar'))
    const report = await inspectDataset(data, { cacheFolder: join(root, 'cache'), input: () => INPUT })
    expect(report).toMatchObject({ kind: 'tar', images: { train: 6, test: 6 }, broken: { count: 2 }, sizes: { largest: [40, 30] } })
    expect(report.broken.examples.map(({ file, reason }) => [file.replace(/#.*#/, ' '), reason]).toSorted()).toEqual([
      ['train-0.tar 0002.png', 'it is a PNG file whose pixels end early or are damaged'],
      ['train-0.tar 0003.png', 'it is text, not an image that can be read'],
    ])
    expect(report.ignored.count).toBe(12)
  })

  it('that are cut, compressed, or lack labels are refused by name', async () => {
    await writeShards(['train-0.tar', 'test-0.tar'])
    const file = join(data, 'train-0.tar')
    const whole = readFileSync(file)
    truncateSync(file, 1200)
    await expect(open()).rejects.toMatchObject({ code: 'bad-record', file, message: expect.stringContaining('ends') })
    writeFileSync(file, gzipSync(whole))
    await expect(open()).rejects.toMatchObject({ code: 'bad-record', message: expect.stringContaining('compressed are unpacked first') })
    rmSync(join(root, 'shard 0', '0004.cls'))
    pack(join(root, 'shard 0'), file)
    await expect(open()).rejects.toMatchObject({ code: 'bad-record', file, message: expect.stringContaining('expected a label 0004.cls') })
    writeFileSync(join(root, 'shard 0', '0004.cls'), '0')
    writeFileSync(join(data, 'classes.txt'), 'only\n')
    pack(join(root, 'shard 0'), file)
    await expect(open()).rejects.toMatchObject({ code: 'label-out-of-range' })
    rmSync(join(data, 'classes.txt'))
    writeFileSync(join(root, 'shard 1', '0006.cls'), '7')
    pack(join(root, 'shard 1'), join(data, 'test-0.tar'))
    await expect(open()).rejects.toMatchObject({ code: 'unknown-class', message: expect.stringContaining('got 7 of test-0.tar#') })
  })

  it('are gone through in few reads, with the contents that are asked for', async () => {
    const from = join(root, 'many')
    // 400 members of 1 KiB with their headers, and one larger than what is read at once.
    const files = Array.from({ length: 200 }, (_, i) => String(i).padStart(4, '0'))
    for (const key of files) await writeFiles(from, { [`${key}.png`]: 'p'.repeat(100), [`${key}.cls`]: `class of ${key}` })
    await writeFiles(from, { '0100.npy': 'n'.repeat(200_000) })
    const archive = join(root, 'many.tar')
    pack(from, archive)
    const handle = await openFile(archive)
    const reads = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'read')
    await handle.close()
    const members = await readTarMembers(archive, { isWanted: (name) => name.endsWith('.cls'), most: 11 })
    expect(reads.mock.calls.length).toBeLessThan(12)
    reads.mockRestore()
    expect(members).toHaveLength(401)
    const contents = members.filter(({ content }) => content !== undefined)
    expect(contents.map(({ name, content }) => [name, String(content)])).toEqual(
      files.map((key) => [`${key}.cls`, `class of ${key}`.slice(0, 11)]),
    )
    const bytes = readFileSync(archive)
    for (const { name, from: start, bytes: length } of members) {
      const wanted = name.endsWith('.png') ? 'p'.repeat(100) : name.endsWith('.npy') ? 'n'.repeat(200_000) : `class of ${name.slice(0, 4)}`
      expect(bytes.toString('latin1', start, start + length)).toBe(wanted)
    }
  })

  it('are read by their headers: sizes beyond octal digits, names of pax and GNU', async () => {
    const from = join(root, 'members')
    const name = `${LONG}${'n'.repeat(90)}.png`
    await writeFiles(from, { [name]: 'x'.repeat(1000), 'empty.txt': '', 'short.txt': 'abc' })
    for (const format of ['gnu', 'pax'] as const) {
      const archive = join(root, `${format}.tar`)
      pack(from, archive, format)
      const members = await readTarMembers(archive)
      const bytes = readFileSync(archive)
      expect(members.map((member) => [member.name, bytes.toString('latin1', member.from, member.from + member.bytes)])).toEqual([
        [name, 'x'.repeat(1000)],
        ['empty.txt', ''],
        ['short.txt', 'abc'],
      ])
    }
    // The size of the first member, as GNU's tar writes sizes from 8 GiB on.
    const archive = join(root, 'binary.tar')
    writeFileSync(join(from, 'empty.txt'), '12')
    execFileSync('tar', ['--format=gnu', '-cf', archive, 'empty.txt'], { cwd: from })
    const bytes = readFileSync(archive)
    bytes.fill(0, 124, 136)
    bytes[124] = 0x80
    bytes[135] = 2
    const sum = bytes.subarray(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0)
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
    writeFileSync(archive, bytes)
    expect(await readTarMembers(archive)).toEqual([{ name: 'empty.txt', from: 512, bytes: 2 }])
  })
})
