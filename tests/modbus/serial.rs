//! On a serial line there is no transaction number: is an answer ever taken for another question's?

use super::*;

#[tokio::test]
async fn a_late_answer_on_a_serial_line_is_never_taken_for_the_next_one() {
    let serial = serial(|asked| match asked {
        0 => vec![(Duration::from_millis(700), POISON)],
        _ => vec![(Duration::from_millis(5), 10.0)],
    });
    let Some((run, _line)) = serial else { return };
    let fault = run.until(|observation| observation.faults[0].clone()).await;
    assert!(fault.contains("no answer"), "{fault}");
    run.watch(Duration::from_millis(2_500)).await;
}

#[tokio::test]
async fn a_frame_that_nobody_asked_for_is_never_an_answer() {
    let serial = serial(|_| vec![(Duration::from_millis(5), 10.0), (Duration::from_millis(20), POISON)]);
    let Some((run, _line)) = serial else { return };
    run.watch(Duration::from_millis(1_500)).await;
}

/// A meter on a pty that sends these answers to each question, each so long after it. Hold what it returns. `None`
/// where the machine has no pseudo-terminals (a bare chroot without /dev/pts), which is told.
fn serial(answers: impl Fn(usize) -> Vec<(Duration, f32)> + Send + 'static) -> Option<(Run, SerialStream)> {
    let Ok((mut device, line)) = SerialStream::pair() else {
        eprintln!("SKIPPED: this machine has no pseudo-terminals (/dev/pts)");
        return None;
    };
    let path = line.name().unwrap().into();
    let address = ModbusAddress::Rtu { path, baud: 9600, parity: Parity::None, stop_bits: 1 };
    tokio::spawn(async move {
        let mut bytes = [0; 8];
        let mut asked = 0;
        while device.read_exact(&mut bytes).await.is_ok() {
            let mut waited = Duration::ZERO;
            for (after, amps) in answers(asked) {
                sleep(after - waited).await;
                waited = after;
                let words = sdm630_words([amps; 3]);
                let mut frame = vec![bytes[0], bytes[1], 36];
                frame.extend(words.iter().flat_map(|word| word.to_be_bytes()));
                frame.extend(crc(&frame).to_le_bytes());
                device.write_all(&frame).await.unwrap();
            }
            asked += 1;
        }
    });
    Some((Run::start(vec![meter("grid", address, 1)]), line))
}

fn crc(bytes: &[u8]) -> u16 {
    let shift = |crc: u16| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
    bytes.iter().fold(0xFFFF, |crc, byte| (0..8).fold(crc ^ u16::from(*byte), |crc, _| shift(crc)))
}
