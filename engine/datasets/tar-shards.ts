// Images in tar archives, as WebDataset has them: the files of one sample have one name up to the first dot after the last slash, an image and
// its label among them,
//
//   train-000000.tar:  0001.jpg 0001.cls 0002.jpg 0002.cls …
//
// `.cls` holds the number of the class, from 0, or its name. Archives whose names begin with train, test, val, valid or validation, or that are
// in folders of these names, are of these splits; others are training images. Images are numbered by class, and within a class in the order of
// archives and members: the same on every machine that has the same archives.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { DatasetError, reasonOf } from './errors.ts'
import { byCodeUnit, drawTest, type ImageLayout, isCalledImage, type ListedClass, type ListedImage, TEST_FOLDERS } from './image-layout.ts'
import { memberPath, placeOf, readPlace } from './image-place.ts'
import { MAX_CLASSES } from './limits.ts'
import { readTarMembers } from './tar-members.ts'

const SHARD = '.tar'
const LABEL = '.cls'
/** Of a label: a name. */
const MAX_LABEL_BYTES = 1024
const CLASSES_FILE = 'classes.txt'
type SplitFolder = 'train' | (typeof TEST_FOLDERS)[number]
const SPLIT = new RegExp(`^(train|${[...TEST_FOLDERS].sort((a, b) => b.length - a.length).join('|')})(?![a-z])`)

const SHARDS_LOOKED_FOR = 'tar archives of images with labels (NAME.jpg and NAME.cls)'

type Sample = { readonly path: string; readonly label: string }

/** Archives of a folder and of the folders of splits in it, as paths below it, in order. */
async function listShards(folder: string): Promise<{ path: string; split: SplitFolder }[]> {
  const found: { path: string; split: SplitFolder }[] = []
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const split = SPLIT.exec(entry.name)?.[1] as SplitFolder | undefined
    if (entry.isDirectory() && split === entry.name) {
      const inner = await readdir(join(folder, entry.name))
      found.push(...inner.filter((name) => name.endsWith(SHARD)).map((name) => ({ path: `${entry.name}/${name}`, split })))
    } else if (entry.name.endsWith(SHARD) && !entry.isDirectory()) {
      found.push({ path: entry.name, split: split ?? 'train' })
    }
  }
  return found.toSorted((a, b) => byCodeUnit(a.path, b.path))
}

/** Whether a folder has the layout, by names alone. */
async function looksLikeShards(folder: string): Promise<boolean> {
  return (await listShards(folder)).length > 0
}

/** The name of the sample that a member is of, and the rest: `a.b/0001.left.jpg` is `a.b/0001` and `.left.jpg`. */
function sampleOf(name: string): { sample: string; rest: string } {
  const dot = name.indexOf('.', name.lastIndexOf('/') + 1)
  return dot === -1 ? { sample: name, rest: '' } : { sample: name.slice(0, dot), rest: name.slice(dot) }
}

async function readShard(folder: string, shard: string, ignored: string[]): Promise<Sample[]> {
  const file = join(folder, shard)
  const images = new Map<string, string>()
  const labels = new Map<string, string>()
  const isLabel = (name: string) => sampleOf(name).rest.toLowerCase() === LABEL
  for (const { name, from, bytes, content } of await readTarMembers(file, { isWanted: isLabel, most: MAX_LABEL_BYTES })) {
    const { sample } = sampleOf(name)
    const path = memberPath(shard, { from, bytes }, name)
    if (content !== undefined) labels.set(sample, content.toString('utf8').trim())
    else if (isCalledImage(name) && !images.has(sample)) images.set(sample, path)
    else ignored.push(`${shard}#${name}`)
  }
  return [...images].map(([sample, path]) => {
    const label = labels.get(sample)
    if (label !== undefined && label !== '') return { path, label }
    throw new DatasetError('bad-record', `expected a label ${sample}${LABEL} beside the image ${path} in ${file}, got none`, { file })
  })
}

/** By number where all labels are numbers, with the names of `classes.txt` where it is there; else by name. */
function namesOfClasses(labels: ReadonlySet<string>, listed: readonly string[] | null, folder: string): Map<string, string> {
  const numbers = [...labels].map(Number)
  const isNumbered = [...labels].every((label) => /^\d+$/.test(label))
  const count = isNumbered ? Math.max(...numbers) + 1 : labels.size
  if (count > MAX_CLASSES)
    throw new DatasetError('too-large', `expected at most ${MAX_CLASSES} classes in ${folder}, got ${count}`, { file: folder })
  if (!isNumbered) return new Map([...labels].sort(byCodeUnit).map((label) => [label, label]))
  if (listed !== null && listed.length < count) {
    const file = join(folder, CLASSES_FILE)
    throw new DatasetError('label-out-of-range', `expected labels below ${listed.length}, the names in ${file}, got ${count - 1}`, { file })
  }
  return new Map(Array.from({ length: listed?.length ?? count }, (_, number) => [String(number), listed?.[number] ?? String(number)]))
}

/** Lists every image, reading headers and labels alone. Throws a `DatasetError` that names the file at fault. */
async function listTarShards(folder: string): Promise<ImageLayout> {
  const ignored: string[] = []
  const splits = new Map<SplitFolder, Sample[]>()
  const shards = await listShards(folder).catch((cause: unknown) => {
    throw new DatasetError('file-unreadable', `cannot read the folder ${folder}: ${reasonOf(cause)}`, { file: folder, cause })
  })
  for (const { path, split } of shards) splits.set(split, [...(splits.get(split) ?? []), ...(await readShard(folder, path, ignored))])
  const train = splits.get('train') ?? []
  if (train.length === 0) {
    throw new DatasetError('empty-dataset', `expected images in the tar archives of ${folder}, got none; looked for ${SHARDS_LOOKED_FOR}`, {
      file: folder,
    })
  }
  const classesFile = placeOf(folder, CLASSES_FILE)
  const listed = await readPlace(classesFile).then(
    (bytes) =>
      bytes
        .toString('utf8')
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean),
    () => null,
  )
  /** Numbers are compared as such: `007` is `7`. */
  const labelOf = ({ label }: Sample) => (/^\d+$/.test(label) ? String(Number(label)) : label)
  const names = namesOfClasses(new Set(train.map(labelOf)), listed, folder)
  const classOf = new Map([...names.keys()].map((label, number) => [label, number]))
  const byClass = (samples: readonly Sample[], split: string): ListedClass[] => {
    const classes = [...names.keys()].map((label) => ({ name: label, images: [] as string[] }))
    for (const sample of samples) {
      const number = classOf.get(labelOf(sample))
      if (number === undefined) {
        throw new DatasetError(
          'unknown-class',
          `expected only classes of the training images in the ${split} archives of ${folder}, got ${sample.label} of ${sample.path}`,
          {
            file: folder,
          },
        )
      }
      classes[number]?.images.push(sample.path)
    }
    return classes
  }
  const labelled = (classes: readonly ListedClass[]): ListedImage[] =>
    classes.flatMap(({ images }, label) => images.map((path) => ({ path, label })))
  const [testFolder, validationFolder] = TEST_FOLDERS.filter((name) => splits.has(name))
  const trainClasses = byClass(train, 'train')
  const drawn =
    testFolder === undefined ? drawTest(trainClasses) : { train: trainClasses, test: byClass(splits.get(testFolder) ?? [], testFolder) }
  if (drawn.test.every(({ images }) => images.length === 0)) {
    throw new DatasetError('empty-dataset', `expected a class with two images or more in ${folder}, got one image in each`, {
      file: folder,
    })
  }
  const hasValidation = testFolder === TEST_FOLDERS[0] && validationFolder !== undefined
  return {
    classNames: [...names.values()],
    train: labelled(drawn.train),
    test: labelled(drawn.test),
    validation: hasValidation ? labelled(byClass(splits.get(validationFolder) ?? [], validationFolder)) : [],
    validationFolder: hasValidation ? validationFolder : null,
    testFolder: testFolder ?? null,
    ignored,
    warnings: [],
  }
}

export { listTarShards, looksLikeShards, SHARDS_LOOKED_FOR }
