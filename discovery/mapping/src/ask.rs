//! Carries out what the [`Keeper`](crate::keeper::Keeper) decided, in the protocol it chose.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    BadAnswer, MappingError, Method, Pace, Path,
    datagram::{Unanswered, exchange},
    keeper::{Answer, Ask, Checked, Command, Failure, Granted},
    pcp, pmp,
    upnp::{self, Device},
};

/// Does it; the UPnP device that was found is kept by the caller between commands.
pub(crate) async fn carry_out(
    command: Command,
    pace: Pace,
    device: Option<Device>,
) -> (Answer, Option<Device>) {
    match command {
        Command::Map(ask) => {
            let (result, device) = map(&ask, pace, device).await;
            (Answer::Mapped(result), device)
        }
        Command::Check(path, method) => {
            let (result, device) = check(&path, method, pace, device).await;
            (Answer::Checked(result), device)
        }
        Command::Remove(ask) => (Answer::Removed, remove(ask, pace, device).await),
    }
}

/// Deletes a mapping, as far as the router does it.
pub(crate) async fn remove(ask: Ask, pace: Pace, device: Option<Device>) -> Option<Device> {
    let ask = Ask { lifetime: 0, ..ask };
    match ask.method {
        Method::Pcp => {
            let _ = map_pcp(&ask, pace).await;
            device
        }
        Method::Pmp => {
            let request = pmp::map_request(ask.wish.protocol, ask.wish.internal, 0, 0);
            let read = |packet: &[u8]| pmp::read_mapped(packet, ask.wish.protocol, ask.wish.internal);
            let _ = exchange(&ask.path, &request, pace.first_wait, read).await;
            device
        }
        Method::Upnp => {
            let device = match device {
                Some(device) => device,
                None => upnp::find(&ask.path, pace).await.ok()?,
            };
            let _ = upnp::delete(&device, &ask, pace).await;
            Some(device)
        }
    }
}

async fn map(ask: &Ask, pace: Pace, device: Option<Device>) -> (Result<Granted, Failure>, Option<Device>) {
    let granted = match ask.method {
        Method::Pcp => map_pcp(ask, pace).await,
        Method::Pmp => map_pmp(ask, pace).await,
        Method::Upnp => {
            let (result, device) = upnp::map(ask, pace, device).await;
            return (result.and_then(|granted| plausible(granted, ask)).map_err(Failure::from), device);
        }
    };
    let granted = granted.and_then(|granted| {
        let epoch = granted.epoch;
        plausible(granted, ask).map_err(|error| Failure { error, epoch, wait: None })
    });
    (granted, device)
}

/// A mapping that cannot be one is none.
fn plausible(granted: Granted, ask: &Ask) -> Result<Granted, MappingError> {
    let what = if granted.lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
        BadAnswer::NoLifetime
    } else if granted.external.port() == 0 {
        BadAnswer::NoPort
    } else if granted.external.ip().is_multicast() || granted.external.is_ipv4() != ask.path.address.is_ipv4()
    {
        BadAnswer::Address
    } else {
        return Ok(granted);
    };
    Err(bad(&ask.path, ask.method, what))
}

async fn map_pcp(ask: &Ask, pace: Pace) -> Result<Granted, Failure> {
    let request = pcp::MapRequest {
        client: ask.path.address,
        nonce: ask.nonce,
        protocol: ask.wish.protocol,
        internal: ask.wish.internal,
        external: ask.external,
        lifetime: ask.lifetime,
    };
    let read = |packet: &[u8]| request.read_answer(packet);
    match exchange(&ask.path, &request.encode(), pace.first_wait, read).await {
        Ok(Ok(pcp::Mapped { epoch, external, lifetime })) => {
            Ok(Granted { external, lifetime: Some(Duration::from_secs(lifetime.into())), epoch: Some(epoch) })
        }
        Ok(Err(refused)) => Err(refused_by_pcp(&ask.path, refused, ask.external.port())),
        Err(unanswered) => Err(silent(&ask.path, Method::Pcp, &unanswered)),
    }
}

async fn map_pmp(ask: &Ask, pace: Pace) -> Result<Granted, Failure> {
    let pmp::Address { epoch: _, address } = ask_address(&ask.path, pace).await?;
    let (protocol, internal) = (ask.wish.protocol, ask.wish.internal);
    let request = pmp::map_request(protocol, internal, ask.external.port(), ask.lifetime);
    let read = |packet: &[u8]| pmp::read_mapped(packet, protocol, internal);
    match exchange(&ask.path, &request, pace.first_wait, read).await {
        Ok(Ok(pmp::Mapped { epoch, external, lifetime })) => Ok(Granted {
            external: SocketAddr::new(address.into(), external),
            lifetime: Some(Duration::from_secs(lifetime.into())),
            epoch: Some(epoch),
        }),
        Ok(Err(refused)) => Err(refused_by_pmp(&ask.path, refused)),
        Err(unanswered) => Err(silent(&ask.path, Method::Pmp, &unanswered)),
    }
}

async fn ask_address(path: &Path, pace: Pace) -> Result<pmp::Address, Failure> {
    match exchange(path, &pmp::ADDRESS_REQUEST, pace.first_wait, pmp::read_address).await {
        Ok(Ok(address)) => Ok(address),
        Ok(Err(refused)) => Err(refused_by_pmp(path, refused)),
        Err(unanswered) => Err(silent(path, Method::Pmp, &unanswered)),
    }
}

async fn check(
    path: &Path,
    method: Method,
    pace: Pace,
    device: Option<Device>,
) -> (Result<Checked, Failure>, Option<Device>) {
    let result = match method {
        Method::Pcp => check_pcp(path, pace).await,
        Method::Pmp => ask_address(path, pace).await.map(|pmp::Address { epoch, address }| Checked {
            external: Some(address.into()),
            epoch: Some(epoch),
        }),
        Method::Upnp => {
            let address = match &device {
                Some(device) => upnp::external_address(device, path, pace).await,
                None => Err(MappingError::NoAnswer { gateway: path.gateway(), method }),
            };
            address
                .map(|address| Checked { external: Some(IpAddr::V4(address)), epoch: None })
                .map_err(Failure::from)
        }
    };
    (result, device)
}

async fn check_pcp(path: &Path, pace: Pace) -> Result<Checked, Failure> {
    let request = pcp::announce_request(path.address);
    match exchange(path, &request, pace.first_wait, pcp::read_announce).await {
        Ok(Ok(epoch)) => Ok(Checked { external: None, epoch: Some(epoch) }),
        // Whatever it says, it says its epoch.
        Ok(Err(refused)) => Ok(Checked { external: None, epoch: refused.epoch }),
        Err(unanswered) => Err(silent(path, Method::Pcp, &unanswered)),
    }
}

fn refused_by_pcp(path: &Path, refused: pcp::Refused, port: u16) -> Failure {
    let (gateway, method) = (path.gateway(), Method::Pcp);
    let pcp::Refused { result, lifetime, epoch } = refused;
    let error = match result {
        pcp::UNSUPP_VERSION | pcp::UNSUPP_OPCODE => MappingError::NoAnswer { gateway, method },
        pcp::NOT_AUTHORIZED | pcp::UNSUPP_PROTOCOL => MappingError::NotAllowed { gateway, method },
        pcp::NETWORK_FAILURE => MappingError::NoOutsideAddress { gateway },
        pcp::NO_RESOURCES | pcp::USER_EX_QUOTA => MappingError::Full { gateway, method },
        pcp::CANNOT_PROVIDE_EXTERNAL => MappingError::PortTaken { gateway, port },
        pcp::ADDRESS_MISMATCH => MappingError::NotNextToGateway { gateway },
        other => bad(path, method, BadAnswer::Result(other.into())),
    };
    Failure { error, epoch, wait: Some(Duration::from_secs(lifetime.into())) }
}

fn refused_by_pmp(path: &Path, refused: pmp::Refused) -> Failure {
    let (gateway, method) = (path.gateway(), Method::Pmp);
    let pmp::Refused { result, epoch } = refused;
    let error = match result {
        pmp::UNSUPPORTED_VERSION | pmp::UNSUPPORTED_OPCODE => MappingError::NoAnswer { gateway, method },
        pmp::NOT_AUTHORIZED => MappingError::NotAllowed { gateway, method },
        pmp::NETWORK_FAILURE => MappingError::NoOutsideAddress { gateway },
        pmp::OUT_OF_RESOURCES => MappingError::Full { gateway, method },
        other => bad(path, method, BadAnswer::Result(other)),
    };
    Failure { error, epoch, wait: None }
}

fn silent(path: &Path, method: Method, unanswered: &Unanswered) -> Failure {
    let gateway = path.gateway();
    Failure::from(match unanswered {
        Unanswered::Silence => MappingError::NoAnswer { gateway, method },
        Unanswered::Nonsense => bad(path, method, BadAnswer::Format),
        Unanswered::Link(error) => MappingError::Link { gateway, method, kind: error.kind() },
    })
}

fn bad(path: &Path, method: Method, what: BadAnswer) -> MappingError {
    MappingError::BadAnswer { gateway: path.gateway(), method, what }
}

impl From<MappingError> for Failure {
    fn from(error: MappingError) -> Self {
        Self { error, epoch: None, wait: None }
    }
}
