// How one network is trained from scratch: every setting with its default.
//
// Fields without a default here came after version 0.1.0. Left out they are off, so that what was stored before means what it did; agents
// of before would leave them out of account, and are not given recipes that have them (compatibility.ts).

import * as z from 'zod'

const DEFAULT_EPOCHS = 30
const amount = z.number().min(0).max(1).default(0)

const recipeSchema = z
  .strictObject({
    epochs: z
      .number()
      .positive()
      .max(100_000)
      .optional()
      .describe(`passes over the training images; may be a fraction. Default: ${DEFAULT_EPOCHS}, unless steps is given`),
    steps: z.int().min(1).max(100_000_000).optional().describe('mini-batches, instead of epochs'),
    batchSize: z
      .int()
      .min(1)
      .max(65_536)
      .default(64)
      .describe('images per mini-batch; what is left over at the end of an epoch is left out'),
    learningRate: z.number().positive().max(100).default(0.05).describe('at its highest; falls to 0 by a half cosine'),
    warmupEpochs: z.number().min(0).max(1000).default(0).describe('epochs, or a fraction of one, in which the rate rises linearly'),
    minimumRate: z.number().min(0).max(100).optional().describe('learning rate that the half cosine falls to. Default: 0'),
    optimiser: z
      .enum(['sgd', 'adamw'])
      .optional()
      .describe(
        'sgd: with Nesterov momentum; adamw: Adam with decoupled weight decay, which wants a learningRate of about 0.001. Default: sgd',
      ),
    adam: z
      .strictObject({
        beta1: z.number().min(0).max(0.9999).default(0.9).describe('decay of the mean of gradients'),
        beta2: z.number().min(0).max(0.999999).default(0.999).describe('decay of the mean of their squares'),
        epsilon: z.number().positive().max(1).default(1e-8).describe('added to the root of the latter'),
      })
      .optional()
      .describe('of adamw'),
    clipNorm: z
      .number()
      .min(0)
      .max(1e6)
      .optional()
      .describe('largest Euclidean norm of all gradients together; longer ones are scaled down to it. Default: 0, no bound'),
    momentum: z.number().min(0).max(0.9999).default(0.9).describe('Nesterov momentum, of sgd'),
    weightDecay: z.number().min(0).max(1).default(4e-5).describe('on filters and matrices, not on batch-norm or biases'),
    labelSmoothing: z.number().min(0).max(0.99).default(0.1).describe('share of the target spread over all classes'),
    dropout: z.number().min(0).max(0.95).default(0).describe('probability with which an input of the classifier is 0'),
    averageDecay: z
      .number()
      .min(0)
      .max(0.999999)
      .default(0)
      .describe('decay of the moving average of weights, which is then what is evaluated and kept; 0: no average'),
    augmentation: z
      .strictObject({
        flip: z.boolean().default(true).describe('mirror half of the images'),
        shift: z
          .int()
          .min(0)
          .max(64)
          .default(2)
          .describe('move images by up to this many pixels: a random crop of the image with so many black pixels around it'),
        minArea: z
          .number()
          .positive()
          .max(1)
          .default(0.08)
          .describe('least part of the area that is drawn of an image in a folder of large images, instead of a shift; 1: the centre'),
        cutout: z.int().min(0).max(1024).default(0).describe('side in pixels of a square that is cut out of every image'),
        brightness: amount.describe('largest change of the brightness, as a share of it'),
        contrast: amount.describe('largest change of the contrast, as a share of it'),
        saturation: amount.describe('largest change of the saturation, as a share of it; images of three channels only'),
        trivial: z
          .boolean()
          .optional()
          .describe('TrivialAugment: one of 14 operations on every image, of a strength drawn at random. Default: false'),
        erase: z.number().min(0).max(1).optional().describe('probability with which a random rectangle of an image is erased. Default: 0'),
        mixup: z
          .number()
          .min(0)
          .max(10)
          .optional()
          .describe('Mixup: α of the Beta distribution of the shares of two images. Default: 0, off'),
        cutmix: z
          .number()
          .min(0)
          .max(10)
          .optional()
          .describe(
            'CutMix: α of the Beta distribution of the share of a rectangle; with mixup, each mini-batch gets one of the two. Default: 0, off',
          ),
      })
      .prefault({}),
    normalisation: z
      .strictObject({
        mean: z.array(z.number().min(-10).max(10)).min(1).max(64).describe('per channel, of pixels scaled to 0..1'),
        std: z.array(z.number().positive().max(10)).min(1).max(64).describe('standard deviation per channel'),
      })
      .optional()
      .describe('of images, instead of that of the training images: for weights that were trained with another'),
    distillation: z
      .strictObject({
        weight: z.number().min(0).max(1).default(0.5).describe("the teacher's share in the loss"),
        temperature: z.number().positive().max(100).default(2).describe('by which the logits of both are divided'),
      })
      .prefault({})
      .describe('used where there is a teacher'),
    validationShare: z
      .number()
      .min(0.001)
      .max(0.9)
      .default(0.1)
      .describe(
        'share of the training images that is not trained on; 0.1 with the seed of a search of default shares gives its validation images',
      ),
    stratify: z
      .boolean()
      .optional()
      .describe('give the validation share the same part of every class. Default: false, drawn from all images'),
    sampling: z
      .enum(['shuffled', 'balanced'])
      .optional()
      .describe(
        'shuffled: every image once an epoch; balanced: every class as often, its images drawn with replacement. Default: shuffled',
      ),
    evaluateEvery: z
      .int()
      .min(0)
      .max(100_000)
      .default(1)
      .describe('epochs between evaluations on the validation share; 0: only at the end'),
    statisticsBatches: z
      .int()
      .min(1)
      .max(10_000)
      .default(32)
      .describe('mini-batches of training images over which batch-norm statistics are averaged before an evaluation'),
    stopBelow: z
      .strictObject({
        accuracy: z.number().min(0).max(1).describe('least validation accuracy, 0 to 1'),
        epoch: z.int().min(1).max(100_000).describe('after this epoch'),
      })
      .optional()
      .describe('end a hopeless training: where it has less than this accuracy after that epoch'),
    patience: z
      .int()
      .min(1)
      .max(100_000)
      .optional()
      .describe('end the training after so many evaluations in a row that were not better than the best. Default: never'),
    keep: z
      .enum(['last', 'best'])
      .optional()
      .describe('weights that are tested and written: those of the end, or those of the best evaluation. Default: last'),
  })
  .refine(({ epochs, steps }) => epochs === undefined || steps === undefined, {
    message: 'expected epochs or steps, not both',
    path: ['epochs'],
  })
type Recipe = z.infer<typeof recipeSchema>

const laterFields = ['minimumRate', 'optimiser', 'adam', 'clipNorm', 'normalisation', 'stratify', 'sampling', 'patience', 'keep'] as const
const laterAugmentations = ['trivial', 'erase', 'mixup', 'cutmix'] as const

/** Whether a recipe says something that version 0.1.0 would leave out of account. */
function hasLaterFields(recipe: Recipe): boolean {
  return (
    laterFields.some((field) => recipe[field] !== undefined) || laterAugmentations.some((field) => recipe.augmentation[field] !== undefined)
  )
}

export { DEFAULT_EPOCHS, hasLaterFields, type Recipe, recipeSchema }
