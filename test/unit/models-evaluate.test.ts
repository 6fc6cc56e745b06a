// `gatehouse evaluate` and `gatehouse predict`, as a person calls them, on networks that `gatehouse train` has trained.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeIdxImages, encodeIdxLabels } from '../../engine/datasets/index.ts'
import { writeModelFolder } from '../../models/model-folder.ts'
import { confusionCsv } from '../../models/evaluate/csv.ts'
import { createConfusion } from '../../models/evaluate/confusion.ts'
import { createRandom, seedState } from '../../search-space/random.ts'
import { runGatehouse } from '../fixtures/command.ts'
import { gradient, plain, writeFiles } from '../fixtures/image-folder.ts'
import { makeModel } from '../fixtures/trained-models.ts'

const SPACE = { preset: 'fashion-mini' as const, input: [12, 12, 3] as [number, number, number], classes: 3 }
const ARCHITECTURE = 'fashion-mini-custom:mb3k3,zero,mb3k3,mb3k3,mb3k3,zero'
const RECIPE = ['--backend', 'wasm', '--threads', '1', '--epochs', '2', '--batch', '16', '--rate', '0.02', '--share-seed', '5']
const CLASSES = ['ant', 'bee, wild', 'cat']

let folder: string
const gatehouse = (...args: string[]) => runGatehouse(args, { folder, columns: () => 100 })

type Split = { images: Uint8Array; labels: Uint8Array }

/** Noise about a colour of each class, the colours close enough that some images are mistaken. */
function makeSplit(count: number, seed: number): Split {
  const random = createRandom(seedState('evaluate', seed))
  const labels = Uint8Array.from({ length: count }, (_, at) => at % 3)
  const images = new Uint8Array(count * 432)
  for (let at = 0; at < images.length; at++) {
    const label = labels[Math.floor(at / 432)] as number
    images[at] = Math.max(0, Math.min(255, 110 + (at % 3 === label ? 25 : 0) + 60 * random.normal()))
  }
  return { images, labels }
}

const IDX = { train: makeSplit(150, 1), t10k: makeSplit(45, 2) }

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-evaluate-'))
  writeFileSync(join(folder, 'space.json'), JSON.stringify(SPACE))
  for (const [name, { images, labels }] of Object.entries(IDX)) {
    await writeFiles(folder, {
      [`idx/${name}-images-idx4-ubyte`]: encodeIdxImages({ count: labels.length, shape: [12, 12, 3], images }),
      [`idx/${name}-labels-idx1-ubyte`]: encodeIdxLabels(labels),
    })
  }
  for (const [split, count] of [
    ['train', 20],
    ['test', 6],
    ['val', 4],
  ] as const) {
    for (const [at, name] of CLASSES.entries()) {
      for (let i = 0; i < count; i++) {
        // Some larger than the input and some smaller, so that the folder stays in its files.
        const image = i % 2 === 0 ? plain([20 + i, 24], [90 * at, 20 + 6 * i, 40]) : gradient([12 + at * 6, 11])
        await writeFiles(folder, { [`photos/${split}/${name}/${i}.png`]: image })
      }
    }
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const train = (data: string, out: string) =>
  gatehouse('train', '--space', '@space.json', '--architecture', ARCHITECTURE, '--data', data, '--out', out, '--test', '--json', ...RECIPE)

const withoutSpeed = ({ top1, top5, crossEntropy, images }: Record<string, number>) => ({ top1, top5, crossEntropy, images })

describe.each([
  ['IDX', 'idx'],
  ['a folder of images in their files', 'photos'],
])('a network trained on %s', (_, data) => {
  it('is evaluated to what its training said, to the last bit, on the test split and on the share that was held back', async () => {
    const trained = await train(data, `model-${data}`)
    expect(trained.code, trained.err).toBe(0)
    const said = JSON.parse(trained.out) as { test: Record<string, number>; validation: Record<string, number> }
    for (const [split, score] of [
      ['test', said.test],
      ['validation', said.validation],
    ] as const) {
      const { code, out, err } = await gatehouse(
        'evaluate',
        '--model',
        `model-${data}`,
        '--data',
        data,
        '--split',
        split,
        '--backend',
        'wasm',
        '--json',
      )
      expect(code, err).toBe(0)
      expect(withoutSpeed(JSON.parse(out))).toEqual(score)
    }
  })

  it('gives predictions, a confusion matrix and scores of each class that agree with each other', async () => {
    const files = ['--predictions', 'said.csv', '--confusion', 'confusion.csv']
    const { out } = await gatehouse('evaluate', '--model', `model-${data}`, '--data', data, '--backend', 'wasm', '--json', ...files)
    const report = JSON.parse(out)
    const [header, ...lines] = readFileSync(join(folder, 'said.csv'), 'utf8').trimEnd().split('\n')
    expect(header).toBe('image,label,class1,probability1,class2,probability2,class3,probability3')
    const names = data === 'idx' ? ['0', '1', '2'] : CLASSES
    const rows = lines.map((line) => [...line.matchAll(/"([^"]*)"|([^,]+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? ''))
    const counts = names.map((label) => names.map((guess) => rows.filter((row) => row[1] === label && row[2] === guess).length))
    expect(report.confusion).toEqual(counts)
    expect(report.right).toBe(counts.reduce((sum, row, at) => sum + (row[at] as number), 0))
    for (const row of rows) expect(Number(row[3]) + Number(row[5]) + Number(row[7])).toBeCloseTo(1, 5)
    for (const [at, one] of report.classes.entries()) {
      const called = counts.reduce((sum, row) => sum + (row[at] as number), 0)
      const images = (counts[at] as number[]).reduce((sum, count) => sum + count, 0)
      const right = counts[at]?.[at] as number
      expect(one).toEqual({
        name: names[at],
        images,
        recall: right / images,
        precision: called === 0 ? null : right / called,
        f1: (2 * right) / (images + called),
      })
    }
    expect(readFileSync(join(folder, 'confusion.csv'), 'utf8').split('\n')[0]).toBe(
      data === 'idx' ? 'label,0,1,2' : 'label,ant,"bee, wild",cat',
    )
  })

  it('predicts of images without labels what it says of them in an evaluation', async () => {
    await gatehouse('evaluate', '--model', `model-${data}`, '--data', data, '--backend', 'wasm', '--predictions', 'said.csv')
    const path = data === 'idx' ? 'idx/t10k-images-idx4-ubyte' : 'photos/test'
    const { code, out, err } = await gatehouse('predict', path, '--model', `model-${data}`, '--backend', 'wasm')
    expect(code, err).toBe(0)
    const byImage = (text: string, isLabelled: boolean) =>
      text
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((line) => line.replace(/^(test[ /])?/, ''))
        .map((line) =>
          (isLabelled ? line.replace(data === 'idx' ? /^([^,]*),[^,]*,/ : /^("[^"]*"|[^,]*),("[^"]*"|[^,]*),/, '$1,') : line).replaceAll(
            '"test/',
            '"',
          ),
        )
    expect(byImage(out, false)).toEqual(byImage(readFileSync(join(folder, 'said.csv'), 'utf8'), true))
    expect(out.split('\n').length).toBe(data === 'idx' ? 47 : 20)
  })
})

describe('predict', () => {
  it('takes one image, names the likeliest classes, and goes on past broken ones', async () => {
    writeModelFolder(join(folder, 'random'), makeModel({ space: SPACE, architecture: ARCHITECTURE }))
    await writeFiles(folder, {
      'some/a.png': gradient([30, 20]),
      'some/deep/b.jpg': gradient([14, 14]),
      'some/c.png': 'text',
      'some/notes.txt': '',
    })
    const one = await gatehouse('predict', 'some/a.png', '--model', 'random', '--backend', 'cpu', '--top', '1', '--json')
    expect(one.code, one.err).toBe(0)
    expect(JSON.parse(one.out)).toEqual([
      { image: 'a.png', classes: [{ class: expect.stringMatching(/^class \d$/), probability: expect.any(Number) }] },
    ])
    const all = await gatehouse('predict', 'some', '--model', 'random', '--backend', 'cpu', '--out', 'said/all.csv')
    expect(all).toMatchObject({ code: 1, out: '' })
    expect(all.err).toContain('broken image c.png: it is text, not an image that can be read')
    expect(all.err).toContain('1 of 3 images could not be decoded')
    expect(
      readFileSync(join(folder, 'said/all.csv'), 'utf8')
        .split('\n')
        .map((line) => line.split(',')[0]),
    ).toEqual(['image', 'a.png', 'deep/b.jpg', ''])
    expect(JSON.parse(one.out)[0].classes[0].class).toBe(readFileSync(join(folder, 'said/all.csv'), 'utf8').split('\n')[1]?.split(',')[1])
  })

  it.each([
    [['predict', 'nowhere', '--model', 'random'], /cannot read .*nowhere/],
    [['predict', 'idx/t10k-labels-idx1-ubyte', '--model', 'random'], /expected .* to begin with 0x00000803 or 0x00000804/],
    [['predict', 'some', '--model', 'random', '--top', '4'], /--top/],
    [['predict', 'some', '--model', 'absent'], /absent/],
    [['evaluate', '--model', 'random', '--data', 'idx', '--split', 'validation'], /does not say which images its training held back/],
    [
      ['evaluate', '--model', 'random', '--data', 'photos'],
      /the model knows no class called ant, bee, wild, cat; it tells 3 apart: class 0, class 1, class 2/,
    ],
  ])('%j is refused with a word', async (args, message) => {
    const { code, err } = await gatehouse(...args, '--backend', 'cpu')
    expect({ code, err }).toEqual({ code: 2, err: expect.stringMatching(message) })
  })
})

describe('the files', () => {
  it('a name that a spreadsheet would compute is text, and quotes are doubled', () => {
    const confusion = createConfusion(['=1+1', 'a "b"'])
    confusion.add(0, 1)
    expect(confusionCsv(confusion.matrix, ['=1+1', 'a "b"'])).toBe(`label,'=1+1,"a ""b"""\n'=1+1,0,1\n"a ""b""",0,0\n`)
  })
})
