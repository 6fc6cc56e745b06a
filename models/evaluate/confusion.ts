// How a classifier's answers meet the labels, class by class. With n[t][p] images of class t that are called p:
//
//   recall of c    = n[c][c] / Σ_p n[c][p]      of its images, the share that is called so
//   precision of c = n[c][c] / Σ_t n[t][c]      of the images that are called so, the share that is
//   F1 of c        = 2 n[c][c] / (Σ_p n[c][p] + Σ_t n[t][c])
//
// A share of nothing is null.

type ClassScore = {
  readonly name: string
  /** Images of the class. */
  readonly images: number
  readonly recall: number | null
  readonly precision: number | null
  readonly f1: number | null
}

type Confusion = {
  add(label: number, predicted: number): void
  /** By label, then by what was predicted. */
  readonly matrix: readonly Uint32Array[]
  classes(): ClassScore[]
}

/** One cell off the diagonal. */
type Mistake = { readonly label: string; readonly predicted: string; readonly images: number }

function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole
}

function createConfusion(names: readonly string[]): Confusion {
  const matrix = names.map(() => new Uint32Array(names.length))
  return {
    matrix,
    add(label, predicted) {
      const row = matrix[label] as Uint32Array
      row[predicted] = (row[predicted] as number) + 1
    },
    classes: () =>
      names.map((name, index) => {
        const right = matrix[index]?.[index] ?? 0
        const images = matrix[index]?.reduce((sum, count) => sum + count, 0) ?? 0
        const called = matrix.reduce((sum, row) => sum + (row[index] as number), 0)
        return { name, images, recall: share(right, images), precision: share(right, called), f1: share(2 * right, images + called) }
      }),
  }
}

/** The commonest mistakes, most images first. */
function commonMistakes({ matrix }: Pick<Confusion, 'matrix'>, names: readonly string[], count: number): Mistake[] {
  return matrix
    .flatMap((row, label) =>
      Array.from(row, (images, predicted) => ({
        label: names[label] as string,
        predicted: names[predicted] as string,
        images,
        isRight: label === predicted,
      })),
    )
    .filter(({ images, isRight }) => images > 0 && !isRight)
    .sort((a, b) => b.images - a.images)
    .slice(0, count)
    .map(({ label, predicted, images }) => ({ label, predicted, images }))
}

export { type ClassScore, commonMistakes, type Confusion, createConfusion, type Mistake }
