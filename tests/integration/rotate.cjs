// Writes numbered JSON lines through a rotating transport: node rotate.cjs TRANSPORT DIRECTORY LINES
// Slowly enough that files are read and taken away between two rotations, and each line only when the one before is out.
'use strict'
const path = require('path')
const { setTimeout: pause } = require('timers/promises')
const [name, folder, total] = [process.argv[2], process.argv[3], Number(process.argv[4])]
const file = path.join(folder, 'app.log')

async function pino (options) {
  const stream = await require('pino-roll')({ file, size: '2k', sync: true, ...options })
  const logger = require('pino')(stream)
  return {
    log: (n) => logger.info({ n }, `line ${n}`),
    end: () => new Promise((resolve) => { stream.once('close', resolve); stream.end() })
  }
}

async function winston (transport) {
  const { createLogger, format } = require('winston')
  const logger = createLogger({ format: format.combine(format.timestamp(), format.json()), transports: [transport] })
  return {
    log: (n) => new Promise((resolve) => { transport.once('logged', resolve); logger.info(`line ${n}`, { n }) }),
    end: () => new Promise((resolve) => { transport.once('finish', resolve); logger.end() })
  }
}

function daily (options) {
  const Daily = require('winston-daily-rotate-file')
  return new Daily({ filename: 'app-%DATE%.log', dirname: folder, maxFiles: 99, ...options })
}

function plain (options) {
  return new (require('winston').transports.File)({ filename: file, maxsize: 2000, ...options })
}

const make = {
  'pino-roll': () => pino({}),
  'pino-roll-date': () => pino({ dateFormat: 'yyyy-MM-dd', frequency: 'daily', symlink: true }),
  'pino-roll-extension': () => pino({ file: path.join(folder, 'app'), extension: '.log' }),
  'winston-file': () => winston(plain({})),
  'winston-tailable': () => winston(plain({ tailable: true, maxFiles: 99 })),
  'winston-daily': () => winston(daily({ datePattern: 'YYYY-MM-DD-HH-mm-ss' })),
  'winston-daily-zipped': () => winston(daily({ datePattern: 'YYYY-MM-DD-HH-mm-ss', zippedArchive: true })),
  'winston-daily-size': () => winston(daily({ maxSize: '2k' }))
}

async function main () {
  const writer = await make[name]()
  for (let n = 0; n < total; n++) {
    await writer.log(n)
    await pause(n % 10 === 9 ? 300 : 2) // 3.8 s in all: what is rotated each second makes three files at least
  }
  await writer.end()
}

main().catch((error) => { console.error(error); process.exit(1) })
