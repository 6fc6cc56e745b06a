// A folder of images, one folder per class, as ImageNet is laid out:
//
//   FOLDER/train/CLASS/…   and FOLDER/test/CLASS/… or FOLDER/val/CLASS/…; with both, the latter is looked at while training
//   FOLDER/CLASS/…         of which a tenth of each class, drawn by a fixed seed, becomes the test split
//
// Classes are numbered in the order of their names, images in the order of their paths, both by code unit, which is the
// same on every machine whatever its language. One name has several forms in Unicode, and which of them a disk gives back depends on
// the system (macOS decomposes what archives and Linux compose): names are compared, sorted and hashed in form NFC (Unicode Standard
// Annex 15), while files are opened by the name that the disk has.

import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'

import { createRandom, seedState } from '../../search-space/random.ts'
import { DatasetError, reasonOf } from './errors.ts'
import { MAX_CLASSES, TEST_FRACTION } from './limits.ts'

const TRAIN_FOLDER = 'train'
/** The first that holds folders is the test split. */
const TEST_FOLDERS = ['test', 'val', 'valid', 'validation'] as const
/** The first of these that holds folders is the validation split, where there is a test split besides. */
const VALIDATION_FOLDERS: ReadonlySet<string> = new Set(TEST_FOLDERS.slice(1))
const EXTENSIONS = new Set(['.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif'])
const TEST_SEED = 'image folder test split'
/** So many folders of the same names are no accident. */
const MIN_COMMON_CLASSES = 2
/** Names that a message lists. */
const MAX_LISTED = 4
/** Folders whose own folders are looked at for a layout one level further down. */
const MAX_SEARCHED = 50

const IMAGES_LOOKED_FOR =
  `folders of images (${[...EXTENSIONS].map((name) => name.slice(1)).join(', ')}), one per class: ${TRAIN_FOLDER}/CLASS/… with ` +
  `${TEST_FOLDERS.slice(0, 2).join('/CLASS/… or ')}/CLASS/…, or CLASS/…`

type ListedImage = {
  /** Below the dataset's folder, with `/` between names, as the disk has them. */
  readonly path: string
  readonly label: number
}

type ImageLayout = {
  readonly classNames: readonly string[]
  readonly train: readonly ListedImage[]
  readonly test: readonly ListedImage[]
  /** Empty where there is none. */
  readonly validation: readonly ListedImage[]
  /** Name of the folder that the validation split is from, or null where there is none. */
  readonly validationFolder: string | null
  /** Where the test split is from: a folder's name, or null where it was drawn from the classes. */
  readonly testFolder: string | null
  /** Files in class folders that are not called like images, and split folders that nothing reads. */
  readonly ignored: readonly string[]
  /** What is probably not meant so, each with what to do about it. */
  readonly warnings: readonly string[]
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The form in which names are compared. */
function nameOf(path: string): string {
  return path.normalize('NFC')
}

/** Paths by their names; those of one name, which only some disks can hold, by what is on the disk. */
function sortedByName(paths: readonly string[]): string[] {
  const named = paths.map((path) => ({ path, name: nameOf(path) }))
  return named.sort((a, b) => byCodeUnit(a.name, b.name) || byCodeUnit(a.path, b.path)).map(({ path }) => path)
}

async function list(folder: string, recursive = false): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true, recursive })
  } catch (cause) {
    throw new DatasetError('file-unreadable', `cannot read the folder ${folder}: ${reasonOf(cause)}`, { file: folder, cause })
  }
}

/** Whether a name begins with a dot: what systems and tools leave behind, such as `.DS_Store`, `._x.jpg` and `.ipynb_checkpoints/`. */
function isHidden(name: string): boolean {
  return name.startsWith('.')
}

function isCalledImage(name: string): boolean {
  return EXTENSIONS.has(extname(name).toLowerCase())
}

function listed(names: readonly string[]): string {
  return names.slice(0, MAX_LISTED).join(', ') + (names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : '')
}

async function isFolder(entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory()
  return stat(join(entry.parentPath, entry.name)).then(
    (target) => target.isDirectory(),
    () => false,
  )
}

/** Folders in a folder as the disk has them, sorted by their names. */
async function foldersIn(folder: string): Promise<string[]> {
  const names: string[] = []
  for (const entry of await list(folder)) if (!isHidden(entry.name) && (await isFolder(entry))) names.push(entry.name)
  return sortedByName(names)
}

/** Image files of a class, in folders below it too, and other files; paths below `folder`. */
async function filesOfClass(folder: string, place: string): Promise<{ images: string[]; others: string[] }> {
  const images: string[] = []
  const others: string[] = []
  for (const entry of await list(join(folder, place), true)) {
    if (entry.isDirectory()) continue
    const path = join(entry.parentPath, entry.name).slice(folder.length).split(sep).filter(Boolean).join('/')
    if (path.slice(place.length).split('/').some(isHidden)) continue
    if (isCalledImage(entry.name)) images.push(path)
    else others.push(path)
  }
  return { images, others }
}

/** Image files in a folder and those below it, sorted by their names, as paths below it. Throws `file-unreadable`. */
async function listImageFiles(folder: string): Promise<string[]> {
  return sortedByName((await filesOfClass(folder, '')).images)
}

/** `images` are sorted. */
type ListedClass = { readonly name: string; readonly images: readonly string[] }

async function listClasses(folder: string, place: string, ignored: string[]): Promise<ListedClass[]> {
  const root = join(folder, place)
  const names = await foldersIn(root)
  if (names.length === 0) {
    throw new DatasetError('no-classes', `expected a folder per class in ${root}, got none; looked for ${IMAGES_LOOKED_FOR}`, {
      file: root,
    })
  }
  if (names.length > MAX_CLASSES) {
    throw new DatasetError('too-large', `expected at most ${MAX_CLASSES} classes in ${root}, got ${names.length}`, { file: root })
  }
  const classes = new Map<string, string[]>()
  for (const name of names) {
    const { images, others } = await filesOfClass(folder, place === '' ? name : `${place}/${name}`)
    ignored.push(...others)
    if (images.length === 0) {
      throw new DatasetError(
        'empty-class',
        `expected images in the class folder ${join(root, name)}, got ${others.length === 0 ? 'none' : `only ${others.length} other files`}; ` +
          'remove the folder or put its images back',
        { file: join(root, name) },
      )
    }
    // Folders whose names differ in their form alone are one class.
    classes.set(nameOf(name), [...(classes.get(nameOf(name)) ?? []), ...images])
  }
  return [...classes].map(([name, images]) => ({ name, images: sortedByName(images) }))
}

function labelled(classes: readonly ListedClass[], numbers: ReadonlyMap<string, number>): ListedImage[] {
  return classes.flatMap(({ name, images }) => images.map((path) => ({ path, label: numbers.get(name) as number })))
}

/** A tenth of each class, at least one image of a class that has two. */
function drawTest(classes: readonly ListedClass[]): { train: ListedClass[]; test: ListedClass[] } {
  const train: ListedClass[] = []
  const test: ListedClass[] = []
  for (const { name, images } of classes) {
    const count = images.length < 2 ? 0 : Math.max(1, Math.floor(images.length * TEST_FRACTION))
    const order = createRandom(seedState(TEST_SEED, name)).shuffle(Array.from(images, (_, index) => index))
    const drawn = new Set(order.slice(0, count))
    train.push({ name, images: images.filter((_, index) => !drawn.has(index)) })
    test.push({ name, images: images.filter((_, index) => drawn.has(index)) })
  }
  return { train, test }
}

/** Whether a folder has the layout, by names alone; `said` means that a person says so. */
async function looksLikeImageFolder(folder: string, said: boolean): Promise<boolean> {
  if (said) return true
  const folders = await foldersIn(folder)
  if (folders.includes(TRAIN_FOLDER)) return (await foldersIn(join(folder, TRAIN_FOLDER))).length > 0
  for (const name of folders) {
    const entries = await list(join(folder, name))
    if (entries.some((entry) => !isHidden(entry.name) && isCalledImage(entry.name))) return true
  }
  return false
}

/** Folders that hold images only in folders of the same names below them: splits, most likely, that are called otherwise than here. */
function splitsAmongClasses(folder: string, classes: readonly ListedClass[]): string[] {
  const inner = classes.map(({ name, images }) => ({
    name,
    count: images.length,
    folders: new Set(images.map((path) => path.split('/')).map((names) => (names.length > 2 ? nameOf(names[1] as string) : ''))),
  }))
  const [first, ...others] = inner
  if (first === undefined || others.length === 0 || inner.some(({ folders }) => folders.has(''))) return []
  const common = [...first.folders].filter((name) => others.every(({ folders }) => folders.has(name)))
  if (common.length < MIN_COMMON_CLASSES) return []
  const largest = inner.reduce((most, one) => (one.count > most.count ? one : most))
  const names = inner.map(({ name }) => `${name}/`)
  return [
    `${listed(names)} each hold folders called ${listed(common)}: they are taken for classes, but look like splits; ` +
      `call them ${TRAIN_FOLDER}/ and ${TEST_FOLDERS[0]}/, or name one of them, images:${join(folder, largest.name)}`,
  ]
}

/** Images in the folder of a split that are in no class, where no image is. Null where there are none. */
async function unsortedImages(folder: string, split: string): Promise<string | null> {
  const images = (await list(join(folder, split))).filter((entry) => !isHidden(entry.name) && isCalledImage(entry.name))
  if (images.length === 0) return null
  return (
    `${split}/ has ${images.length} images that are in no class folder, so it is not used, and a tenth of the images of each class of ` +
    `${TRAIN_FOLDER}/ is the test split instead; move them to ${split}/CLASS/ to test on them`
  )
}

/** Folders in a folder that is none of images which are some themselves: what was probably meant. */
async function imageFoldersWithin(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const name of (await foldersIn(folder)).slice(0, MAX_SEARCHED)) {
    if (await looksLikeImageFolder(join(folder, name), false)) found.push(name)
  }
  return found
}

/** Lists every image, reading no file. Throws a `DatasetError` that names the folder at fault. */
async function listImageFolder(folder: string): Promise<ImageLayout> {
  const ignored: string[] = []
  const folders = await foldersIn(folder)
  const hasTrain = folders.includes(TRAIN_FOLDER)
  const trainClasses = await listClasses(folder, hasTrain ? TRAIN_FOLDER : '', ignored)
  const classNames = trainClasses.map(({ name }) => name)
  const numbers = new Map(classNames.map((name, number) => [name, number]))
  const warnings = hasTrain ? [] : splitsAmongClasses(folder, trainClasses)
  let testFolder: string | null = null
  let validationFolder: string | null = null
  if (hasTrain) {
    const flat: string[] = []
    for (const name of TEST_FOLDERS) {
      if (!folders.includes(name)) continue
      const hasClasses = (await foldersIn(join(folder, name))).length > 0
      if (testFolder === null && hasClasses) testFolder = name
      else if (validationFolder === null && hasClasses && VALIDATION_FOLDERS.has(name) && testFolder === TEST_FOLDERS[0])
        validationFolder = name
      else {
        ignored.push(`${name}/`)
        const unsorted = await unsortedImages(folder, name)
        if (unsorted !== null) flat.push(unsorted)
      }
    }
    if (testFolder === null) warnings.push(...flat)
  }
  if (testFolder === null) {
    const { train, test } = drawTest(trainClasses)
    const drawn = labelled(test, numbers)
    if (drawn.length === 0) {
      throw new DatasetError('empty-dataset', `expected a class with two images or more in ${folder}, got one image in each`, {
        file: folder,
      })
    }
    return { classNames, train: labelled(train, numbers), test: drawn, validation: [], validationFolder, testFolder, ignored, warnings }
  }
  /** Of a split whose classes have to be those of the training images. */
  const listSplit = async (split: string) => {
    const classes = await listClasses(folder, split, ignored)
    const unknown = classes.find(({ name }) => !numbers.has(name))
    if (unknown === undefined) return labelled(classes, numbers)
    const place = join(folder, split, unknown.name)
    throw new DatasetError(
      'unknown-class',
      `expected only classes of ${join(folder, TRAIN_FOLDER)} in ${join(folder, split)}, got ${place} with ${unknown.images.length} images ` +
        'of a class that nothing is trained on',
      { file: place },
    )
  }
  const test = await listSplit(testFolder)
  const validation = validationFolder === null ? [] : await listSplit(validationFolder)
  return { classNames, train: labelled(trainClasses, numbers), test, validation, validationFolder, testFolder, ignored, warnings }
}

export {
  byCodeUnit,
  drawTest,
  imageFoldersWithin,
  type ImageLayout,
  IMAGES_LOOKED_FOR,
  isCalledImage,
  type ListedClass,
  type ListedImage,
  listImageFiles,
  listImageFolder,
  looksLikeImageFolder,
  nameOf,
  TEST_FOLDERS,
}
