// `gatehouse data check`, run as the command line runs it.

import { execFile } from 'node:child_process'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import sharp from 'sharp'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeIdxImages, encodeIdxLabels } from '../../engine/datasets/index.ts'
import { colouredClasses, gradient, plain, writeFiles } from '../fixtures/image-folder.ts'
import { runGatehouse } from '../fixtures/command.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-data-check-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const check = (...args: string[]) => runGatehouse(['data', 'check', ...args], { folder, columns: () => 80 })

/** Large gradients, one broken in its header, one cut, one twice, and a text. */
async function writePhotos(): Promise<void> {
  const photo = await gradient([300, 200]).jpeg({ quality: 100 }).toBuffer()
  await writeFiles(folder, {
    ...colouredClasses('photos/train/', 4),
    ...colouredClasses('photos/val/', 2, [50, 30]),
    'photos/train/dog/big.jpg': photo,
    'photos/train/dog/cut.jpg': photo.subarray(0, photo.length / 2),
    'photos/train/dog/text.jpg': 'text',
    'photos/train/dog/notes.txt': 'text',
  })
  await cp(join(folder, 'photos/train/cat/000.png'), join(folder, 'photos/val/dog/same.png'))
}

describe('gatehouse data check', () => {
  it('says of a folder of images what is in it, what is broken, twice or not read, and how fast it is read', async () => {
    await writePhotos()
    const { code, out } = await check('photos', '--input', '16x16x3', '--json')
    expect(code).toBe(0)
    const report = JSON.parse(out)
    expect(report).toMatchObject({
      usable: true,
      name: 'photos',
      kind: 'images',
      storage: 'files',
      shape: [16, 16, 3],
      images: { train: 11, test: 5 },
      testFolder: 'val',
      classes: [
        { name: 'cat', train: 4, test: 2 },
        { name: 'dog', train: 7, test: 3 },
      ],
      sizes: { smallest: [40, 30], largest: [300, 200] },
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      duplicates: { count: 1, sets: 1, acrossSplits: 1, acrossClasses: 1, examples: [['train/cat/000.png', 'val/dog/same.png']] },
      ignored: { count: 1, examples: ['train/dog/notes.txt'] },
    })
    expect(report.broken.count).toBe(2)
    expect(report.broken.examples.map(({ file }: { file: string }) => file).toSorted()).toEqual(['train/dog/cut.jpg', 'train/dog/text.jpg'])
    expect(report.readerImagesPerSecond).toBeGreaterThan(0)
    expect(report.normalisation.mean).toHaveLength(3)

    const text = (await check('images:photos', '--input', '16x16x3')).out
    expect(text).toMatch(/^splits +11 training images, 5 test images \(from val\/\)$/m)
    expect(text).toMatch(/^broken +2: .*\n +train\/dog\/(cut|text)\.jpg: /m)
    expect(text).toMatch(/^dog +7 +3$/m)
    expect(text).toContain(report.fingerprint)
  })

  it('says the same of small images that are kept in memory', async () => {
    await writeFiles(folder, {
      ...colouredClasses('small/', 20, [8, 8]),
      'small/cat/zz.png': 'text',
      'small/dog/again.png': plain([8, 8], [100, 0, 0]),
    })
    const { code, out } = await check('small', '--input', '8x8x3', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      storage: 'memory',
      images: { train: 38, test: 4 },
      testFolder: null,
      broken: { count: 1, examples: [{ file: 'cat/zz.png' }] },
      duplicates: { count: 1, acrossClasses: 0 },
    })
  })

  it('says of files in other formats what they hold', async () => {
    const images = Uint8Array.from({ length: 5 * 4 }, (_, at) => (at < 8 ? at % 4 : at))
    await writeFiles(folder, {
      'idx/train-images-idx3-ubyte': encodeIdxImages({ count: 5, shape: [2, 2, 1], images }),
      'idx/train-labels-idx1-ubyte': encodeIdxLabels(Uint8Array.of(0, 1, 2, 2, 2)),
      'idx/t10k-images-idx3-ubyte': encodeIdxImages({ count: 1, shape: [2, 2, 1], images: images.subarray(16) }),
      'idx/t10k-labels-idx1-ubyte': encodeIdxLabels(Uint8Array.of(2)),
    })
    const { out } = await check('idx', '--json')
    expect(JSON.parse(out)).toMatchObject({
      kind: 'idx',
      storage: 'memory',
      shape: [2, 2, 1],
      classes: [
        { name: '0', train: 1, test: 0 },
        { name: '1', train: 1, test: 0 },
        { name: '2', train: 3, test: 1 },
      ],
      // Images 0 and 1 are equal, of two classes; the last train image is the test image.
      duplicates: { count: 2, sets: 2, acrossSplits: 1, acrossClasses: 1 },
    })
  })

  it('says which classes of packed data no image has, and which images are of one colour', async () => {
    const count = 24
    const images = Uint8Array.from({ length: count * 4 }, (_, at) => (at < 8 ? 7 : (at * 11) % 256))
    const labels = Uint8Array.from({ length: count }, (_, at) => 1 + (at % 12))
    await writeFiles(folder, {
      'idx/train-images-idx3-ubyte': encodeIdxImages({ count, shape: [2, 2, 1], images }),
      'idx/train-labels-idx1-ubyte': encodeIdxLabels(labels),
      'idx/t10k-images-idx3-ubyte': encodeIdxImages({ count: 3, shape: [2, 2, 1], images: images.subarray(20, 32) }),
      'idx/t10k-labels-idx1-ubyte': encodeIdxLabels(Uint8Array.of(10, 11, 12)),
    })
    const text = (await check('idx')).out
    expect(text).toMatch(
      /^warning +no training image is of class 0, of 13 classes; labels count from 0, so write them one lower if they count from 1$/m,
    )
    expect(text).toMatch(/^warning +no test image is of class 0, 1, 2, 3, 4 and 5 more, of 13 classes$/m)
    expect(text).toMatch(/^one colour +2: .*\n +train image 0\n +train image 1$/m)

    const dot = await plain([300, 300], [9, 9, 9])
      .composite([{ input: await plain([2, 2], [200, 9, 9]).png().toBuffer(), left: 150, top: 150 }])
      .png()
      .toBuffer()
    await writeFiles(folder, {
      'photos/train/cat/dot.png': dot,
      'photos/train/cat/grey.jpg': plain([300, 300], [9, 9, 9]),
      'photos/train/dog/a.png': gradient([300, 300]),
      'photos/val/dog/a.png': gradient([300, 300]),
    })
    const report = JSON.parse((await check('photos', '--input', '32x32x3', '--json')).out)
    expect(report).toMatchObject({ storage: 'files', flat: { count: 1, examples: ['train/cat/grey.jpg'] }, warnings: [] })
  })

  it('prints a page that a person can act on, of a folder with a file of each kind of fault', async () => {
    const photo = await gradient([300, 200]).png().toBuffer()
    const values = Uint16Array.from({ length: 40 * 30 }, (_, at) => (at % 40 < 20 ? 51 : 209))
    const heights = sharp(values, { raw: { width: 40, height: 30, channels: 1 } })
      .toColourspace('grey16')
      .png()
    await writeFiles(folder, {
      'photos/train/cat/a.png': photo,
      'photos/train/cat/b.png': gradient([200, 300]),
      'photos/train/cat/cut.png': photo.subarray(0, photo.length / 2),
      'photos/train/cat/empty.jpg': '',
      'photos/train/cat/error.jpg': '<html>404</html>',
      'photos/train/cat/grey.png': plain([300, 200], [128, 128, 128]),
      'photos/train/cat/heights.png': await heights.toBuffer(),
      'photos/train/cat/notes.txt': 'text',
      'photos/train/cat/.hidden/c.png': photo,
      'photos/train/dog/a.png': gradient([210, 300]),
      'photos/train/dog/phone.heic': Buffer.from('\0\0\0\x18ftypheic', 'latin1'),
      'photos/train/dog/same.png': photo,
      'photos/val/loose.png': photo,
    })
    const { code, out } = await check('photos', '--input', '32x32x3')
    expect(code).toBe(0)
    const lines = out
      .replace(/^(reader +)\d+/m, '$1N')
      .replace(/^(mean|deviation|fingerprint)( +).*/gm, '$1$2…')
      .split('\n')
    expect(lines).toEqual([
      'data         photos, images',
      'splits       7 training images, 2 test images (drawn: a tenth of each class)',
      'sizes        200×300 to 210×300 (width × height), in batches 32×32×3, 8 bits',
      'kept         in files, decoded as they are needed',
      'mean         …',
      'deviation    …',
      'fingerprint  …',
      'broken       4: in training each is replaced by another image of its class; repair or remove them',
      '             train/cat/cut.png: it is a PNG file whose pixels end early or are damaged',
      '             train/cat/empty.jpg: it is empty',
      '             train/cat/error.jpg: it is a web page, not an image that can be read: download it again',
      '             train/cat/heights.png: its values, 51 to 209, are all one in 8 bits; give --bits 16, or scale them',
      'one colour   1: there is nothing to be seen on them; look whether they were saved as they should be',
      '             train/cat/grey.png',
      'duplicates   1 beyond the first of 1 set of equal images; 1 of them in both splits, which makes a test look better than it is: keep one of each; 1 in several classes, of which one at most is right',
      // The first was drawn for the test.
      '             train/dog/same.png = train/cat/a.png',
      'not read     3: they are not called like images, or nothing reads their folder',
      '             train/cat/notes.txt',
      '             train/dog/phone.heic',
      '             val/',
      'reader       N training images a second',
      'warning      val/ has 1 images that are in no class folder, so it is not used, and a tenth of the images of each class of train/ is the test split instead; move them to val/CLASS/ to test on them',
      '',
      'class  train  test',
      'cat        6     1',
      'dog        1     1',
      '',
    ])
  })

  it('fails for data that cannot be trained on, with the reason as text or JSON', async () => {
    await writeFiles(folder, { ...colouredClasses('bad/train/', 2), 'bad/val/owl/a.png': plain([9, 9], [1, 1, 1]) })
    const { code, out, err } = await check('bad', '--json')
    expect(code).toBe(2)
    expect(JSON.parse(out)).toEqual({
      usable: false,
      code: 'unknown-class',
      message: expect.stringContaining('owl'),
      file: join(folder, 'bad', 'val', 'owl'),
    })
    expect(err).toMatch(/^gatehouse: expected only classes of .*train/)
    await writeFiles(folder, {
      'one/train-images-idx3-ubyte': encodeIdxImages({ count: 2, shape: [2, 2, 1], images: new Uint8Array(8) }),
      'one/train-labels-idx1-ubyte': encodeIdxLabels(Uint8Array.of(1, 1)),
      'one/t10k-images-idx3-ubyte': encodeIdxImages({ count: 1, shape: [2, 2, 1], images: new Uint8Array(4) }),
      'one/t10k-labels-idx1-ubyte': encodeIdxLabels(Uint8Array.of(0)),
    })
    // The second time from the cache.
    for (let time = 0; time < 2; time++) {
      const one = await check('one', '--json')
      expect(one.code).toBe(2)
      expect(JSON.parse(one.out)).toMatchObject({
        usable: false,
        code: 'one-class',
        message: expect.stringContaining('got all 2 of one, label 1'),
      })
    }
    await writeFile(join(folder, 'file'), '')
    for (const path of ['file', 'nowhere', 'npm:nothing', 'cifar:bad']) expect(await check(path)).toMatchObject({ code: 2, out: '' })
    expect((await check('bad', '--input', '224')).err).toMatch(/--input to be HEIGHTxWIDTHxCHANNELS/)
  })

  it('loads the image decoder when it runs: other commands, and data of other formats, do without', async () => {
    const module = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href)
    const script = `
      const loaded = () => process.report.getReport().sharedObjects.some((file) => /sharp|vips/.test(file))
      await import(${module('gatehouse/gatehouse.ts')})
      await import(${module('engine/datasets/index.ts')})
      const before = loaded()
      await import(${module('engine/datasets/image-decoder.ts')})
      process.stdout.write(JSON.stringify([before, loaded()]))`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
    expect(JSON.parse(stdout)).toEqual([false, true])
  })
})
